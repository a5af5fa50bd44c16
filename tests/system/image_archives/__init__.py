# SPDX-License-Identifier: LGPL-2.1-or-later
"""Images as other programs write them, made by hand, so that every mistake can be made."""

import gzip
import hashlib
import io
import json
import os
import shutil
import subprocess
import tarfile

ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)


def entry(name, kind=tarfile.REGTYPE, data=b"", **more):
    """One file of a layer: (TarInfo, contents)."""
    info = tarfile.TarInfo(name)
    info.type = kind
    info.mode = more.pop("mode", 0o755 if kind == tarfile.DIRTYPE else 0o644)
    info.mtime = 1000000000
    info.size = len(data)
    for key, value in more.items():
        setattr(info, key, value)
    return info, data


def folder(name, **more):
    return entry(name, tarfile.DIRTYPE, **more)


def link(name, target):
    return entry(name, tarfile.SYMTYPE, linkname=target)


def hard_link(name, target):
    return entry(name, tarfile.LNKTYPE, linkname=target)


def layer(*entries):
    """A tar file of @entries."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for info, data in entries:
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def compress(data, how):
    if how == "gzip":
        return gzip.compress(data, 1, mtime=0)
    if how == "zstd":
        return subprocess.run(["zstd", "-q", "-1", "-c"], input=data, stdout=subprocess.PIPE, check=True).stdout
    return data


def config_of(layers, config=None, **more):
    return {"architecture": ARCHITECTURE, "os": "linux", "created": "2026-01-02T03:04:05Z", "config": config or {},
            "rootfs": {"type": "layers", "diff_ids": ["sha256:" + sha256(data) for data in layers]}, **more}


class Oci(dict):
    """An OCI layout: names and contents of its files."""

    def __init__(self, layers, how="gzip", config=None, name="test:1", document=None):
        super().__init__()
        self["oci-layout"] = b'{"imageLayoutVersion": "1.0.0"}'
        document = document if document is not None else config_of(layers, config)
        self.layers = [self.blob(compress(data, how)) for data in layers]
        self.manifest = {"schemaVersion": 2, "config": self.blob(json.dumps(document).encode()), "layers": self.layers}
        self.index(self.manifest, name)

    def blob(self, data):
        self["blobs/sha256/" + sha256(data)] = data
        return {"digest": "sha256:" + sha256(data), "size": len(data)}

    def index(self, manifest, name="test:1", **more):
        descriptor = self.blob(json.dumps(manifest).encode())
        descriptor["annotations"] = {"io.containerd.image.name": name} if name else {}
        self["index.json"] = json.dumps({"schemaVersion": 2, "manifests": [{**descriptor, **more}]}).encode()


def docker(layers, name="test:1", config=None, document=None, tags=True):
    """A docker archive: names and contents of its files."""
    document = json.dumps(document if document is not None else config_of(layers, config)).encode()
    files = {sha256(document) + ".json": document}
    paths = []
    for data in layers:
        path = sha256(data) + "/layer.tar"
        files[path] = data
        paths.append(path)
    files["manifest.json"] = json.dumps(
        [{"Config": sha256(document) + ".json", "RepoTags": [name] if tags else None, "Layers": paths}]).encode()
    return files


def write_tar(files, path, how=None):
    data = layer(*(entry(name, data=contents) for name, contents in files.items()))
    with open(path, "wb") as f:
        f.write(compress(data, how))
    return path


def write_folder(files, path):
    shutil.rmtree(path, ignore_errors=True)
    for name, contents in files.items():
        os.makedirs(os.path.dirname(os.path.join(path, name)), exist_ok=True)
        with open(os.path.join(path, name), "wb") as f:
            f.write(contents)
    return path
