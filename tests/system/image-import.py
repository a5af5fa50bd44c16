#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""image-import.py PROGRAM: sandboxd-image with good images, with damaged ones and with hostile ones."""

import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
import traceback

from patience import patience

from image_archives import (ARCHITECTURE, Oci, compress, config_of, docker, entry, folder, hard_link, layer, link, sha256,
                            write_folder, write_tar)

PROGRAM = os.path.abspath(sys.argv[1])
OWNER = 100000
TOP = tempfile.mkdtemp(prefix="image-import.", dir="/var/tmp")
IMAGES = TOP + "/images"
OUTSIDE = TOP + "/outside"


def start(*args, images=IMAGES, owner=True, prefix=(), **more):
    command = [*prefix, PROGRAM, *args, "--images", images] + (["--owner", f"{OWNER}:{OWNER}"] if owner else [])
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=TOP, **more)


def run(*args, **more):
    process = start(*args, **more)
    out, err = process.communicate(timeout=120)
    assert process.returncode >= 0, f"it died of signal {-process.returncode}: {err}"
    return process.returncode, out, err


def good(*args, **more):
    status, out, err = run("import", *args, **more)
    assert status == 0, err
    return out


def refused(pattern, *args, command="import", images=IMAGES, **more):
    """Fails, with one line that has the pattern, and leaves nothing behind."""
    before = sorted(os.listdir(images)) if os.path.isdir(images) else None
    status, out, err = run(command, *args, images=images, **more)
    assert status != 0, f"it was taken: {out}"
    assert out == "" and pattern in err and err.count("\n") == 1, f"expected {pattern!r} in one line, got: {err!r}"
    assert all(" " <= c for c in err.rstrip("\n")), "control characters reach the terminal"
    assert before is None or sorted(os.listdir(images)) == before, f"left behind: {sorted(os.listdir(images))}"


def tree(name, images=IMAGES):
    """Path: (kind, contents or target, mode) of all files of the image's folder @name."""
    root = f"{images}/{name}/rootfs"
    found = {}
    for where, folders, files in os.walk(root):
        for file in folders + files:
            path = os.path.join(where, file)
            st = os.lstat(path)
            assert (st.st_uid, st.st_gid) == (OWNER, OWNER), path
            kind = "l" if os.path.islink(path) else "d" if os.path.isdir(path) else "f"
            contents = os.readlink(path) if kind == "l" else open(path, "rb").read() if kind == "f" else None
            found[os.path.relpath(path, root)] = (kind, contents, st.st_mode & 0o7777)
    return found


def archive(files, how=None):
    return write_tar(files, TOP + "/image.tar", how)


BASE = layer(folder("bin"), entry("bin/sh", data=b"shell", mode=0o4755), hard_link("bin/ash", "bin/sh"),
             folder("etc"), entry("etc/passwd", data=b"root:x:0:0::/root:/bin/sh\nnode:x:1000:1000::/n:/bin/sh\n"),
             folder("opt"), folder("opt/a"), entry("opt/a/x", data=b"x"), entry("opt/a/y", data=b"y"),
             folder("opt/b"), entry("opt/b/old", data=b"old"), link("lib", "usr/lib"), link("out", "/etc"))


# --- what has to work

def every_form_gives_the_same_files():
    upper = layer(entry("opt/a/.wh.x"), entry("opt/a/z", data=b"z"))
    good(archive(Oci([BASE, upper])))
    first = tree("test_3a1")
    assert first["opt/a/z"] == ("f", b"z", 0o644) and "opt/a/x" not in first and "opt/a/y" in first
    assert first["bin/sh"] == ("f", b"shell", 0o755) and first["bin/ash"][1] == b"shell"
    assert first["lib"][:2] == ("l", "usr/lib") and first["out"][:2] == ("l", "/etc")
    forms = [archive(Oci([BASE, upper], how=how)) for how in (None, "zstd")]
    forms += [write_tar(docker([BASE, upper]), f"{TOP}/docker{how}", how) for how in (None, "gzip", "zstd")]
    forms += [write_folder(Oci([BASE, upper], how="zstd"), TOP + "/oci"), write_folder(docker([BASE, upper]), TOP + "/docker")]
    for path in forms:
        good(path)
        assert tree("test_3a1") == first, path


def what_docker_saves_since_version_25_is_both():
    files = Oci([BASE], how=None, name="docker.io/library/both:1")
    [layer_path] = ["blobs/" + d["digest"].replace(":", "/") for d in files.layers]
    files["manifest.json"] = json.dumps([{
        "Config": "blobs/" + files.manifest["config"]["digest"].replace(":", "/"), "RepoTags": ["both:1"],
        "Layers": [layer_path], "LayerSources": {}}]).encode()
    good(archive(files))
    assert tree("both_3a1")["bin/sh"][1] == b"shell"
    files[layer_path] = files[layer_path].replace(b"shell", b"shelf")
    refused("another content", archive(files))


def links_between_the_members_of_a_docker_archive_are_followed():
    files = docker([BASE])
    [path] = [name for name in files if name.endswith("/layer.tar")]
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, contents in {**files, path: None, "real/layer.tar": files[path]}.items():
            info, data = link(name, "../real/layer.tar") if contents is None else entry(name, data=contents)
            tar.addfile(info, io.BytesIO(data))
    with open(TOP + "/links.tar", "wb") as f:
        f.write(out.getvalue())
    good(TOP + "/links.tar")


def whiteouts_hide_what_is_below_and_not_what_is_beside():
    # whatever the order in the archive
    for upper in ([entry("opt/b/.wh..wh..opq"), entry("opt/b/new", data=b"new")],
                  [entry("opt/b/new", data=b"new"), entry("opt/b/.wh..wh..opq")]):
        good(archive(Oci([BASE, layer(*upper)])))
        found = tree("test_3a1")
        assert "opt/b/old" not in found and found["opt/b/new"][1] == b"new"
    good(archive(Oci([BASE, layer(entry("opt/.wh.a"), folder("opt/a"), entry("opt/a/only", data=b"1"))])))
    assert sorted(p for p in tree("test_3a1") if p.startswith("opt/a/")) == ["opt/a/only"]
    good(archive(Oci([BASE, layer(entry(".wh.opt"), entry(".wh..wh.aufs", data=b""), entry(".wh.missing"))])))
    assert not any(p.startswith("opt") or ".wh." in p for p in tree("test_3a1"))


def a_later_layer_may_change_the_kind_of_a_file():
    upper = layer(entry("opt", data=b"now a file"), folder("bin/sh"), entry("bin/sh/x", data=b"1"), entry("lib/y", data=b"2"),
                  link("etc/passwd", "../nowhere"))
    good(archive(Oci([BASE, upper])))
    found = tree("test_3a1")
    assert found["opt"][:2] == ("f", b"now a file") and found["bin/sh/x"][1] == b"1" and found["lib/y"][1] == b"2"
    assert found["bin/ash"][1] == b"shell" and "usr/lib" not in found


def modes_are_what_they_were_to_the_user():
    files = [("root600", 0, 0o600, 0o600), ("root644", 0, 0o644, 0o644), ("mine700", 1000, 0o700, 0o755),
             ("mine400", 1000, 0o400, 0o644), ("all777", 0, 0o777, 0o755), ("set", 0, 0o6755, 0o755)]
    good(archive(Oci([layer(*(entry(name, mode=mode, uid=uid) for name, uid, mode, _ in files),
                            folder("vartmp", mode=0o1777), folder("secret", mode=0o700))])))
    found = tree("test_3a1")
    for name, _, _, wanted in files:
        assert found[name][2] == wanted, f"{name}: {found[name][2]:o}"
    assert found["vartmp"][2] == 0o1777 and found["secret"][2] == 0o700


def the_user_has_a_name_and_a_folder_to_start_in():
    config = {"Env": ["PATH=/opt/bin", "A=b=c", "bad-name=1"], "WorkingDir": "/srv//app/"}
    good(archive(Oci([BASE], config=config)))
    found = tree("test_3a1")
    assert found["etc/passwd"][1] == b"root:x:0:0::/root:/bin/sh\nsandboxuser:x:1000:1000::/home/sandboxuser:/bin/sh\n"
    assert found["etc/group"][1] == b"sandboxuser:x:1000:\n" and found["srv/app"][0] == "d"
    said = json.load(open(IMAGES + "/test_3a1/config.json", encoding="utf-8"))
    assert said["env"] == {"PATH": "/opt/bin", "A": "b=c"} and said["cwd"] == "/srv/app", said
    assert said["architecture"] == ARCHITECTURE and said["digest"].startswith("sha256:"), said


def what_is_in_the_home_folder_is_kept_for_sessions():
    home = "home/sandboxuser/"
    usual = layer(folder("home"), folder(home, uid=1000), entry(home + ".bashrc"), entry(home + ".profile"))
    good(archive(Oci([usual])))
    assert not os.path.exists(IMAGES + "/test_3a1/files.tar")
    good(archive(Oci([usual, layer(entry(home + "app/main.py", data=b"1", uid=1000, mode=0o600), link(home + "l", "/etc/passwd"))],
                     config={"WorkingDir": "/home/sandboxuser/app/deep"})))
    with tarfile.open(IMAGES + "/test_3a1/files.tar") as tar:
        found = {member.name: member for member in tar}
    assert set(found) == {home + n for n in (".bashrc", ".profile", "app", "app/main.py", "app/deep", "l")}, found
    assert found[home + "l"].issym() and found[home + "app/main.py"].size == 1
    assert json.load(open(IMAGES + "/test_3a1/config.json", encoding="utf-8"))["cwd"] == "/home/sandboxuser/app/deep"
    # not what a link leads to
    good(archive(Oci([layer(link("home", TOP))])))
    good(archive(Oci([layer(folder("home"), link("home/sandboxuser", TOP))])))
    assert not os.path.exists(IMAGES + "/test_3a1/files.tar")
    refused("64 MiB in /home/sandboxuser", archive(Oci([layer(entry(home + "x", data=bytes(65 << 20)))])))


def names_come_from_the_archive_or_the_command():
    good(archive(Oci([BASE], name="docker.io/library/python:3")))
    assert os.path.isdir(IMAGES + "/python_3a3")
    good(archive(Oci([BASE], name=None)), "--name", "acme/tools")
    assert os.path.isdir(IMAGES + "/acme_2ftools_3alatest")
    refused("--name", archive(Oci([BASE], name=None)))
    refused("no name that an image can have", archive(Oci([BASE])), "--name", "../x")
    refused("no name that an image can have", archive(Oci([BASE], name="../../x:1")))


def several_images_need_a_choice():
    first, second = docker([BASE], name="one:1"), docker([layer(entry("two"))], name="two:1")
    both = {**first, **second}
    both["manifest.json"] = json.dumps(json.loads(first["manifest.json"]) + json.loads(second["manifest.json"])).encode()
    refused("--ref", archive(both))
    good(archive(both), "--ref", "two:1")
    assert "two" in tree("two_3a1")
    refused('no image "three"', archive(both), "--ref", "three")


def an_index_of_platforms_is_gone_through():
    image = Oci([BASE])
    other = image.blob(b'{"layers": []}')
    mine = image.blob(json.dumps(image.manifest).encode())
    image.index({"schemaVersion": 2, "manifests": [
        {**other, "platform": {"os": "linux", "architecture": "mips"}},
        {**mine, "platform": {"os": "linux", "architecture": ARCHITECTURE}}]})
    good(archive(image))


def importing_again_replaces_it():
    shutil.rmtree(IMAGES)
    os.mkdir(IMAGES)
    numbers = []
    for number in range(3):
        good(archive(Oci([layer(entry(f"file{number}"))])))
        numbers.append(int(os.readlink(IMAGES + "/test_3a1").removeprefix("test_3a1-")))
        assert f"file{number}" in tree("test_3a1")
    assert numbers == list(range(numbers[0], numbers[0] + 3)), numbers
    # the one before stays for sandboxes that just begin, and older ones until the next run
    good(archive(Oci([BASE])))
    assert sorted(os.listdir(IMAGES)) == ["test_3a1"] + [f"test_3a1-{numbers[0] + n}" for n in (1, 2, 3)]
    status, out, err = run("rm", "test:1", owner=False)
    assert status == 0 and "removed" in out, err
    assert os.listdir(IMAGES) == []
    refused("no image", "test:1", command="rm", owner=False)
    os.makedirs(IMAGES + "/base/rootfs")
    refused("no image", "base", command="rm", owner=False)
    os.chown(IMAGES + "/base/rootfs", OWNER, OWNER)
    good(archive(Oci([BASE])), owner=False)  # belongs to whoever the one that is there belongs to
    tree("test_3a1")


def two_at_once_of_one_name():
    files = [write_tar(Oci([layer(entry("file", data=bytes([65 + n]) * 3000000))]), f"{TOP}/at-once{n}") for n in range(4)]
    processes = [start("import", path) for path in files]
    for process in processes:
        _, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
    assert len(set(tree("test_3a1")["file"][1])) == 1
    assert not [name for name in os.listdir(IMAGES) if name.startswith(".")]


def an_ordinary_user_can_have_images():
    images = TOP + "/user"
    os.mkdir(images)
    os.chown(images, 65534, 65534)
    shutil.copy(PROGRAM, TOP + "/program")
    shutil.copy(archive(Oci([BASE])), TOP + "/readable.tar")
    for path in (TOP + "/program", TOP + "/readable.tar"):
        os.chmod(path, 0o755)
    user = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
    done = subprocess.run([*user, TOP + "/program", "import", TOP + "/readable.tar", "--images", images],
                          capture_output=True, text=True, check=False)
    if "user namespace" in done.stderr:
        return
    assert done.returncode == 0, done.stderr
    assert os.stat(images + "/test_3a1/rootfs/bin/sh").st_uid == 65534
    done = subprocess.run([*user, TOP + "/program", "import", TOP + "/readable.tar", "--images", IMAGES],
                          capture_output=True, text=True, check=False)
    assert done.returncode != 0 and "denied" in done.stderr, done.stderr


# --- what must not

def nothing_leaves_the_root():
    with open(OUTSIDE, "w", encoding="utf-8") as f:
        f.write("untouched")
    up = "../" * 30 + OUTSIDE[1:]
    for name in ("../x", "a/../../x", up, "/../x"):
        refused("does not lie below the root", archive(Oci([layer(entry(name, data=b"hit"))])))
    # absolute names are below the root
    good(archive(Oci([layer(entry("//abs/" + "x", data=b"1"))])))
    assert tree("test_3a1")["abs/x"][1] == b"1"
    # through links: to the outside, in one layer and over two
    for target in ("/", TOP, up, ".."):
        for layers in ([layer(link("d", target), entry("d/outside", data=b"hit"))],
                       [layer(link("d", target)), layer(entry("d/outside", data=b"hit"))]):
            good(archive(Oci(layers)))
            assert tree("test_3a1")["d/outside"][1] == b"hit"
        # a whiteout through a link hides nothing
        good(archive(Oci([layer(link("d", target)), layer(entry("d/.wh.outside"), entry("d/.wh..wh..opq"))])))
        refused("is no file of the image", archive(Oci([layer(link("d", target), hard_link("h", "d/outside"))])))
    # a file that is a link to the outside is replaced, not written through
    good(archive(Oci([layer(link("f", OUTSIDE)), layer(entry("f", data=b"hit"))])))
    for target in (OUTSIDE, up, "/etc/passwd", "../../../etc/passwd", "missing", "."):
        status, _, err = run("import", archive(Oci([layer(hard_link("h", target))])))
        assert status != 0 and ("no file of the image" in err or "does not lie" in err), err
    # whiteouts of strange names
    for name in (".wh..", ".wh...", ".wh.", "a/.wh..."):
        refused("does not lie below the root", archive(Oci([BASE, layer(entry(name))])))
    # the lists of users are not written through links
    good(archive(Oci([layer(folder("etc"), link("etc/passwd", OUTSIDE), link("etc/group", up))])))
    good(archive(Oci([layer(link("etc", TOP))])))
    good(archive(Oci([layer(link("srv", TOP))], config={"WorkingDir": "/srv/app"})))
    assert open(OUTSIDE, encoding="utf-8").read() == "untouched" and not os.path.exists(TOP + "/app")


def a_hard_link_does_not_follow_a_link():
    good(archive(Oci([layer(link("l", OUTSIDE), hard_link("h", "l"))])))
    assert tree("test_3a1")["h"][:2] == ("l", OUTSIDE)
    refused("is no file of the image", archive(Oci([layer(entry("a/b"), hard_link("a", "a/b"))])))


def devices_and_rights_are_dropped():
    kinds = [entry("chr", tarfile.CHRTYPE, devmajor=1, devminor=5), entry("blk", tarfile.BLKTYPE, devmajor=8),
             entry("fifo", tarfile.FIFOTYPE), entry("suid", mode=0o4755)]
    kinds[3][0].pax_headers = {"SCHILY.xattr.security.capability": "x"}
    out = good(archive(Oci([layer(*kinds)])))
    found = tree("test_3a1")
    assert not {"chr", "blk", "fifo"} & set(found) and found["suid"][2] == 0o755, out
    assert os.listxattr(IMAGES + "/test_3a1/rootfs/suid") == []


def limits_hold():
    # 10 GiB of zeros: refused for what it says, and for what it is when it does not say so
    packed = TOP + "/zeros.gz"
    head = entry("zeros")[0]
    head.size = 10 << 30
    chunk = head.tobuf() + bytes(64 << 20)
    image = Oci([BASE])
    [descriptor] = image.layers
    descriptor.update(image.blob(compress(chunk, "gzip")))
    image.index(image.manifest)
    begin = time.monotonic()
    refused("--max-size", archive(image), "--max-size", "8G")
    assert time.monotonic() - begin < patience(20)
    with open(packed, "wb") as f:
        f.write(compress(bytes(300 << 20), "gzip"))
    refused("--max-size", packed, "--max-size", "100M")
    zeros = bytes(120 << 20)
    refused("--max-size", archive(Oci([layer(entry("x")) + zeros])), "--max-size", "1M", "--max-files", "100")
    refused("--max-size", archive(Oci([layer(entry("x", data=bytes(2 << 20)))])), "--max-size", "1M")
    # of both layers together, although the second replaces what the first has
    refused("--max-size", archive(Oci([layer(entry("x", data=bytes(700000)))] * 2)), "--max-size", "1M")
    refused("--max-files", archive(Oci([layer(*(entry(f"f{n}") for n in range(1001)))])), "--max-files", "1000")
    refused("--max-files", archive(Oci([BASE, layer(*(entry(f".wh.f{n}") for n in range(1001)))])), "--max-files", "1000")


def too_many_files_are_refused():
    out = io.BytesIO()
    block = b"".join(entry(f"f{n}")[0].tobuf() for n in range(1000))
    for _ in range(100):
        out.write(block)
    refused("more than 20000 files", archive(Oci([out.getvalue()])), "--max-files", "20000")


def depth_is_bounded():
    refused("folders: the image is refused", archive(Oci([layer(entry("d/" * 300 + "x"))])))
    refused("longer than a path may be", archive(Oci([layer(entry("d" * 200 + "/" + "e" * 200 + "/" + "f" * 4000))])))
    good(archive(Oci([layer(entry("d/" * 150 + "x"))])))


def reader_of(process):
    """The child that reads the archive, once it has another root than this program; None when it has ended."""
    while process.poll() is None:
        try:
            with open(f"/proc/{process.pid}/task/{process.pid}/children") as f:
                children = f.read().split()
            if children and os.readlink(f"/proc/{children[0]}/root") != "/":
                return int(children[0])
        except OSError:
            pass
    return None


def folders_of(pid):
    os.kill(pid, signal.SIGSTOP)
    try:
        links = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
        return os.readlink(f"/proc/{pid}/root"), [path for path in links if os.path.isdir(path)]
    finally:
        os.kill(pid, signal.SIGCONT)


def no_folder_outside_is_open_in_the_reader():
    image = Oci([layer(entry("big", data=bytes(64 << 20)))], how=None)
    for source in (archive(image), write_folder(image, TOP + "/big")):
        process = start("import", source)
        pid = reader_of(process)
        assert pid, "it was too fast to be looked at"
        root, folders = folders_of(pid)
        _, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        assert all((path + "/").startswith(root + "/") for path in folders), (root, folders)


def what_is_missing_is_named():
    image = Oci([BASE])
    [descriptor] = image.layers
    del image["blobs/sha256/" + descriptor["digest"][7:]]
    refused("is missing", archive(image))
    refused("is missing", write_folder(image, TOP + "/missing"))
    for gone in ("index.json", "manifest.json"):
        files = Oci([BASE]) if gone == "index.json" else docker([BASE])
        del files[gone]
        refused("neither an OCI layout", archive(files))
    image = Oci([BASE])
    del image["blobs/sha256/" + image.manifest["config"]["digest"][7:]]
    refused("is missing", archive(image))
    refused("No such file", TOP + "/nothing")
    refused("neither a file nor a folder", "/dev/null")
    refused("no such folder", archive(Oci([BASE])), images=TOP + "/nowhere")


def digests_are_checked():
    for which in ("layer", "config", "manifest"):
        image = Oci([BASE], how=None)
        name = {"layer": image.layers[0]["digest"], "config": image.manifest["config"]["digest"],
                "manifest": json.loads(image["index.json"])["manifests"][0]["digest"]}[which]
        path = "blobs/sha256/" + name[7:]
        data = bytearray(image[path])
        if which == "layer":
            data[data.index(b"shell")] ^= 1  # the contents of a file: nothing but the digest tells
        else:
            data += b" "
        image[path] = bytes(data)
        refused("digest", archive(image))
        refused("digest", write_folder(image, TOP + "/wrong"))
    files = docker([BASE])
    [path] = [name for name in files if name.endswith("/layer.tar")]
    files[path] = files[path].replace(b"shell", b"shelf")
    refused("another content", archive(files))
    # right in itself, but not what the configuration says
    image = Oci([BASE], document=config_of([layer(entry("else"))]))
    refused("another content", archive(image))
    # a size that is a lie
    image = Oci([BASE])
    image.layers[0]["size"] += 1
    image.index(image.manifest)
    refused("bytes, not", archive(image))


def another_machine_is_refused():
    other = "arm64" if ARCHITECTURE == "amd64" else "amd64"
    refused("linux/" + ARCHITECTURE, archive(Oci([BASE], document={**config_of([BASE]), "architecture": other})))
    image = Oci([BASE])
    image.index(image.manifest, platform={"os": "linux", "architecture": other})
    refused("only for linux/" + other, archive(image))
    refused("linux/" + ARCHITECTURE, archive(docker([BASE], document={**config_of([BASE]), "os": "windows"})))


def documents_are_checked():
    for text in (b"", b"{", b"[]", b"null", b"[1]", b'{"manifests": {}}', b'{"manifests": [{"digest": "md5:00"}]}',
                 b'{"manifests": [{"digest": "sha256:../../../../etc/passwd"}]}', b'{"manifests": []}', b"\xff\xfe",
                 b'{"a":1,"a":2}', b"[" * 100000):
        image = Oci([BASE])
        image["index.json"] = text
        status, _, err = run("import", archive(image))
        assert status == 1 and err.count("\n") == 1, (text, err)
    for change in ({"layers": None}, {"layers": [{}]}, {"layers": [{"digest": 1}]}, {"config": None}, {"config": {"digest": "x"}}):
        image = Oci([BASE])
        image.index({**image.manifest, **change})
        status, _, err = run("import", archive(image))
        assert status == 1 and err.count("\n") == 1, (change, err)
    for document in ({}, {"rootfs": {"diff_ids": "x"}}, {"rootfs": {"diff_ids": [1]}}, config_of([BASE, BASE]),
                     config_of([BASE], {"WorkingDir": "relative"}), config_of([BASE], {"WorkingDir": "/../.."}),
                     config_of([BASE], {"Env": [f"V{n}=1" for n in range(1000)]}),
                     config_of([BASE], {"Env": [f"V{n}={'x' * 30000}" for n in range(9)]})):
        status, _, err = run("import", archive(Oci([BASE], document=document)))
        assert status == 1 and err.count("\n") == 1, (document, err)
    files = docker([BASE])
    for path in ("/etc/passwd", "../" * 20 + "etc/passwd", "manifest.json/x", ""):
        for key in ("Config", "Layers"):
            manifest = json.loads(files["manifest.json"])
            manifest[0][key] = [path] if key == "Layers" else path
            both = {**files, "manifest.json": json.dumps(manifest).encode()}
            for form in (archive(both), write_folder(both, TOP + "/paths")):
                status, _, err = run("import", form)
                assert status == 1 and err.count("\n") == 1 and "root:" not in err, (path, err)
    image = Oci([BASE], document=config_of([BASE] * 200))
    image.index({**image.manifest, "layers": image.layers * 200})
    refused("more than 128", archive(image))
    image = Oci([BASE])
    image["index.json"] += b" " * (5 << 20)
    refused("longer than 4 MiB", archive(image))


def a_folder_shows_nothing_beside_it():
    secret = layer(entry("secret"))
    for target in (TOP + "/secret", "../../../secret"):
        with open(TOP + "/secret", "wb") as f:
            f.write(secret)
        image = Oci([secret], how=None)
        path = write_folder(image, TOP + "/linked") + "/blobs/sha256/" + sha256(secret)
        os.unlink(path)
        os.symlink(target, path)
        status, _, err = run("import", TOP + "/linked")
        assert status == 1 and err.count("\n") == 1, err
    os.unlink(path)
    os.mkfifo(path)
    refused("missing", TOP + "/linked")


def damaged_files_are_refused():
    random.seed(20)
    for path in (archive(Oci([BASE])), write_tar(docker([BASE]), TOP + "/d.tar"), write_tar(docker([BASE]), TOP + "/d.zst", "zstd")):
        with open(path, "rb") as f:
            whole = f.read()
        bad = TOP + "/bad.tar"
        end = len(whole.rstrip(b"\0"))
        for length in (0, 1, 100, 512, 1000, end // 3, end // 2, end - 1):
            length = min(length, end - 1)
            with open(bad, "wb") as f:
                f.write(whole[:length])
            status, _, err = run("import", bad)
            assert status == 1 and err.count("\n") == 1, (path, length, err)
        for _ in range(25):
            data = bytearray(whole)
            for _ in range(random.randrange(1, 4)):
                data[random.randrange(len(data))] ^= 1 << random.randrange(8)
            with open(bad, "wb") as f:
                f.write(data)
            status, _, err = run("import", bad)
            assert status == 0 or (status == 1 and err), (path, err)
    assert not [name for name in os.listdir(IMAGES) if name.startswith(".")]


def control_characters_do_not_reach_the_terminal():
    refused("does not lie below", archive(Oci([layer(entry("../\x1b[2J\x07x"))])))
    refused("no sha256 digest", archive({**Oci([BASE]), "index.json": json.dumps(
        {"manifests": [{"digest": "sha256:\x1b[31m"}]}).encode()}))


def a_full_disk_leaves_nothing():
    small = TOP + "/small"
    os.mkdir(small)
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", small], check=False).returncode != 0:
        return
    try:
        blob = random.Random(1).randbytes(8 << 20)
        refused("No space left", archive(Oci([layer(entry("x", data=blob))])), images=small)
        refused("No space left", archive(docker([layer(entry("x", data=blob))]), "zstd"), images=small)
        good(archive(Oci([BASE])), images=small)
    finally:
        subprocess.run(["umount", small], check=False)


def killed_in_the_middle():
    path = archive(Oci([layer(*(entry(f"d{n % 50}/f{n}", data=bytes(2000)) for n in range(4000)))]))
    for number in (signal.SIGKILL, signal.SIGTERM):
        process = start("import", path)
        while process.poll() is None and not any(
                os.path.exists(f"{IMAGES}/{name}/rootfs/d0") for name in os.listdir(IMAGES) if name.startswith(".import.")):
            pass
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
        assert process.returncode != 0
        if number == signal.SIGTERM:
            assert "stopped by a signal" in err, err
            assert not [name for name in os.listdir(IMAGES) if name.startswith(".")], os.listdir(IMAGES)
        # the next one tidies up
        good(archive(Oci([BASE])))
        assert not [name for name in os.listdir(IMAGES) if name.startswith(".")], os.listdir(IMAGES)
        path = archive(Oci([layer(*(entry(f"d{n % 50}/f{n}", data=bytes(2000)) for n in range(4000)))]))


def the_reader_has_no_rights():
    """While it reads: not root, no capability, filtered, and its root is the folder that it builds in."""
    path = archive(Oci([layer(*(entry(f"d{n % 50}/f{n}", data=bytes(2000)) for n in range(4000)))]))
    process = start("import", path)
    status = {}
    while process.poll() is None and not status:
        try:
            with open(f"/proc/{process.pid}/task/{process.pid}/children", encoding="ascii") as f:
                children = f.read().split()
            if children:
                with open(f"/proc/{children[0]}/status", encoding="ascii") as f:
                    found = dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)
                if found.get("Seccomp") == "2":
                    status, root = found, os.readlink(f"/proc/{children[0]}/root")
        except FileNotFoundError:
            pass
    process.communicate(timeout=60)
    assert status, "it was never seen"
    assert set(status["Uid"].split()) == {str(OWNER)} and set(status["Gid"].split()) == {str(OWNER)}
    assert status["Groups"].strip() == "" and int(status["CapEff"], 16) == 0 and int(status["CapPrm"], 16) == 0
    assert status["NoNewPrivs"] == "1" and "/.import." in root, root


TESTS = [f for name, f in sorted(globals().items(), key=lambda item: getattr(getattr(item[1], "__code__", None), "co_firstlineno", 0))
         if getattr(f, "__module__", "") == "__main__" and hasattr(f, "__code__")
         and name not in ("start", "run", "good", "refused", "tree", "archive", "reader_of", "folders_of")]


def main():
    failed = 0
    os.chmod(TOP, 0o755)
    try:
        for test in TESTS:
            os.makedirs(IMAGES, exist_ok=True)
            begin = time.monotonic()
            try:
                test()
                print(f"ok {test.__name__} ({time.monotonic() - begin:.1f} s)")
            except Exception:  # pylint: disable=broad-except
                failed += 1
                print(f"FAILED: {test.__name__}")
                traceback.print_exc(file=sys.stdout)
    finally:
        shutil.rmtree(TOP, ignore_errors=True)
    print(f"{len(TESTS) - failed} passed, {failed} failed")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
