#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""metrics.py BUILD TOP: see metrics.sh."""
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request

sys.dont_write_bytecode = True
from free_port import free_port  # noqa: E402
from patience import within  # noqa: E402

BUILD, TOP = map(pathlib.Path, sys.argv[1:3])


class Lab:
    def __init__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="metrics.", dir="/var/tmp"))
        self.folder.chmod(0o755)
        self.processes = []
        self.worker, self.coordinator, self.prometheus = (f"127.0.0.1:{free_port()}" for _ in range(3))

    def start(self, name, *command, **environment):
        with open(self.folder / f"{name}.log", "wb") as log:
            self.processes.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                                   env={**os.environ, **environment}))
        return self.processes[-1]

    def clear(self, failed):
        for process in reversed(self.processes):
            process.terminate()
        for process in self.processes:
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
        for log in self.folder.glob("*.log") if failed else ():
            print(f"{log.name}:", log.read_text(errors="replace")[-1500:], sep="\n")
        shutil.rmtree(self.folder, ignore_errors=True)


def check(condition, text):
    if not condition:
        raise AssertionError(text)


def step(text):
    print("--", text, flush=True)


def ask(address, path, body=None):
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(f"http://{address}{path}", data), timeout=30) as answer:
        return answer.read().decode()


def answers(address, path):
    try:
        return bool(ask(address, path))
    except OSError:
        return False


def promtool(*command, text=None):
    done = subprocess.run(["promtool", *command], input=text, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    check(done.returncode == 0, f"promtool {' '.join(map(str, command))}: {done.stdout}")


def configuration(lab):
    """What the guide has, with our addresses, and faster."""
    guide = (TOP / "doc/migrate-from-guide.md").read_text(encoding="utf-8")
    text = re.search(r"^```yaml\n(.*?)^```$", guide, re.M | re.S).group(1)
    text, n = re.subn(r"targets: \[.*\]", f"targets: ['{lab.worker}', '{lab.coordinator}']", text)
    check(n == 1, "the guide has no targets")
    check("rule_files: ['sandboxd-rules.yml']" in text, "the guide has no rules")
    shutil.copy(TOP / "doc/prometheus-rules.yml", lab.folder / "sandboxd-rules.yml")
    file = lab.folder / "prometheus.yml"
    file.write_text("global: {scrape_interval: 1s, evaluation_interval: 1s}\n" + text, encoding="utf-8")
    return file


def query(lab, expression):
    path = "/api/v1/query?" + urllib.parse.urlencode({"query": expression})
    return json.loads(ask(lab.prometheus, path))["data"]["result"]


def alerts(lab):
    found = json.loads(ask(lab.prometheus, "/api/v1/alerts"))["data"]["alerts"]
    return {alert["labels"]["alertname"] for alert in found}


def run(lab):
    file = configuration(lab)
    step("promtool: configuration and rules")
    promtool("check", "config", file)

    step("a worker, a coordinator, Prometheus")
    lab.start("worker", BUILD / "src/daemon/sandboxd", "--standalone", "--worker", "metrics", "--listen", lab.worker,
              "--state", lab.folder / "state", "--runtime", lab.folder / "run")
    check(within(60, lambda: answers(lab.worker, "/health")), "no worker")
    settings = lab.folder / "coordinator.conf"
    settings.write_text("[Coordinator]\nDiscover=none\nHealthInterval=1s\n", encoding="utf-8")
    lab.start("coordinator", BUILD / "src/coord/sandbox-coord", "--config", settings, "--listen", lab.coordinator,
              WORKERS=f"http://{lab.worker}")
    check(within(30, lambda: answers(lab.coordinator, "/health")), "no coordinator")
    lab.start("prometheus", "prometheus", f"--config.file={file}", f"--storage.tsdb.path={lab.folder}/data",
              f"--web.listen-address={lab.prometheus}")
    check(within(60, lambda: answers(lab.prometheus, "/-/ready")), "no Prometheus")

    step("promtool: what they say")
    for address in (lab.worker, lab.coordinator):
        promtool("check", "metrics", text=ask(address, "/metrics"))

    step("the dashboard")
    session = json.loads(ask(lab.coordinator, "/v1/sessions", {}))["session_id"]
    ask(lab.coordinator, f"/v1/sessions/{session}/exec", {"command": "true"})
    check(within(60, lambda: any(float(r["value"][1]) > 0 for r in query(lab, "rate(sandboxd_execs_total[5m])"))
                 or query(lab, "sandboxd_execs_total > 0")), "Prometheus does not see the command")
    dashboard = json.loads((TOP / "doc/grafana-dashboard.json").read_text(encoding="utf-8"))
    expressions = [t["expr"] for panel in dashboard["panels"] for t in panel["targets"]]
    check(len(expressions) > 8, "the dashboard asks for little")
    for expression in expressions:
        check(within(30, lambda: query(lab, expression.replace("$instance", ".*"))), f"nothing for {expression}")
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            metric, label = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["query"]["query"]).groups()
            check([r["metric"][label] for r in query(lab, metric)] == [lab.worker], f"values of {variable['name']}")

    step("the alerts")
    groups = json.loads(ask(lab.prometheus, "/api/v1/rules"))["data"]["groups"]
    rules = {rule["name"]: rule for group in groups for rule in group["rules"]}
    known = set(json.loads(ask(lab.prometheus, "/api/v1/label/__name__/values"))["data"])
    for name, rule in rules.items():
        used = set(re.findall(r"\b(?:sandbox\w+_\w+|up)\b", rule["query"].replace('job="sandboxd"', "")))
        check(used and used <= known, f"{name}: {used - known} is no metric")
        check(within(30, lambda: name not in alerts(lab)), f"{name} is told of a fleet that is well")
    lab.processes[0].terminate()
    told = {"SandboxdDown", "SandboxCoordNoWorker", "SandboxCoordWorkerAway"}
    check(within(60, lambda: alerts(lab) == told), f"without the worker: {alerts(lab)}")


lab, failed = Lab(), True
try:
    run(lab)
    failed = False
except (AssertionError, OSError, KeyError, ValueError) as e:
    print(f"FAILED: {e!r}")
finally:
    lab.clear(failed)
sys.exit(1 if failed else 0)
