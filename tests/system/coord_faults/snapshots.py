# SPDX-License-Identifier: LGPL-2.1-or-later
"""What lies at one worker, or at all, but in no session: snapshots and images."""
from . import fake
from .driver import case, check, until


@case("snapshots of all workers: listed, shown, used where they are, deleted")
def snapshots(lab):
    workers = [lab.worker(f"w{i}") for i in range(3)]
    c = lab.coordinator(workers)
    made = {}
    for _ in range(9):
        session = c.create()
        answer = c.request("POST", f"/v1/sessions/{session}/snapshots")
        check(answer.status == 201, f"{answer}")
        made[answer.json()["snapshot_id"]] = answer.json()["worker_id"]
    check(len(set(made.values())) == 3, "not all workers have some")
    listed = c.request("GET", "/v1/snapshots").json()["snapshots"]
    check({s["snapshot_id"]: s["worker_id"] for s in listed} == made, f"{listed}")
    for snapshot, worker in made.items():
        answer = c.request("GET", f"/v1/snapshots/{snapshot}")
        check(answer.status == 200 and answer.json()["worker_id"] == worker, f"{answer}")
        answer = c.request("POST", "/v1/sessions", {"image": f"snapshot:{snapshot}"})
        check(answer.status == 201 and answer.json()["worker_id"] == worker, f"{answer}")
        check(c.request("DELETE", f"/v1/snapshots/{snapshot}").status == 204, "delete")
        check(c.request("GET", f"/v1/snapshots/{snapshot}").status == 404, "it is still there")
        answer = c.request("POST", "/v1/sessions", {"image": f"snapshot:{snapshot}"})
        check(answer.status == 422 and answer.json()["field"] == "image", f"{answer}")
    for name in ("x", "..", "UPPER", "a" * 100):
        check(c.request("GET", f"/v1/snapshots/{name}").status in (400, 404), name)
    check(not any(w.snapshots for w in workers), "some are left")


@case("a snapshot whose worker is away: not found only when all are asked")
def away(lab):
    a, b = lab.worker("a"), lab.worker("b")
    c = lab.coordinator([a, b])
    b.faults["GET", "/v1/snapshots/"] = fake.garbage
    answer = c.request("GET", "/v1/snapshots/11111111-1111-4111-8111-111111111111")
    check(answer.status == 502 and answer.headers["Retry-After"], f"{answer}")
    b.faults.clear()
    until(5, lambda: c.request("GET", "/v1/snapshots/11111111-1111-4111-8111-111111111111").status == 404, "404")
    b.faults["*", "/v1/snapshots/"] = fake.hang
    a.snapshots["11111111-1111-4111-8111-111111111111"] = "x"
    answer = c.request("GET", "/v1/snapshots/11111111-1111-4111-8111-111111111111")
    check(answer.status == 200, f"one that hangs holds up another: {answer}")
    full = c.request("POST", "/v1/sessions", {"image": "snapshot:11111111-1111-4111-8111-111111111111"})
    check(full.status == 201 and full.json()["worker_id"] == "a", f"{full}")
    a.most = len(a.sessions)
    answer = c.request("POST", "/v1/sessions", {"image": "snapshot:11111111-1111-4111-8111-111111111111"})
    check(answer.status == 503 and not b.sessions, f"{answer}")


@case("images of all workers: each once, with those that have it")
def images(lab):
    a, b = lab.worker("a"), lab.worker("b")
    a.images, b.images = ["base", "python"], ["base", "node"]
    c = lab.coordinator([a, b])
    found = {i["name"]: i["workers"] for i in c.request("GET", "/v1/images").json()["images"]}
    check(found == {"base": ["a", "b"], "python": ["a"], "node": ["b"]}, f"{found}")


@case("a session goes where its image is, and nowhere is 422")
def image_of_one(lab):
    workers = [lab.worker(f"w{i}") for i in range(7)]
    one = workers[4]
    one.images = ["base", "python"]
    c = lab.coordinator(workers)
    for body in [{}] * 8 + [{"key": f"k{i}"} for i in range(4)] + [{"wait": 1}]:
        answer = c.request("POST", "/v1/sessions", {"image": "python", **body})
        check(answer.status == 201 and answer.json()["worker_id"] == "w4", f"{body}: {answer}")
    for body in ({}, {"key": "k"}, {"wait": 1}):
        until(5, lambda: c.request("POST", "/v1/sessions", {"image": "node", **body}).status == 422, f"422 for {body}")
    answer = c.request("POST", "/v1/sessions", {"image": "node"})
    check(answer.json()["field"] == "image" and '"node"' in answer.json()["detail"], f"{answer}")
    one.most = len(one.sessions)
    for body in ({}, {"wait": 1}):
        answer = c.request("POST", "/v1/sessions", {"image": "python", **body})
        check(answer.status == 503 and answer.headers["Retry-After"], f"full: {answer}")
    check(one.asked("POST", "/v1/sessions")[-1].body.count(b"wait") == 1, "it is not where the image is that it waited")
    one.most += 1
    c.create({"image": "python"})
    one.stop()
    answer = c.request("POST", "/v1/sessions", {"image": "python"})
    check(answer.status == 503 and answer.headers["Retry-After"], f"for a moment away: {answer}")
    check(sum(len(w.sessions) for w in workers) == len(one.sessions), "others have sessions")
