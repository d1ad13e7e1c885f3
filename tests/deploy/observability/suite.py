#!/usr/bin/env python3
"""deploy/prometheus and deploy/grafana against a real broker: python3 tests/deploy/observability/suite.py

promtool checks the rules and runs their tests; then a Prometheus reads a broker under load, and is asked every query of the rules and of the
dashboard: each must be one that it takes, and have an answer (or, where only trouble would give it one, name what a broker counts). Prometheus is
the one on the path, else Debian's package, unpacked into target/. Without it only the names of metrics and labels are compared.
"""

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent.parent
sys.path[:0] = [str(HERE.parent), str(ROOT / "tests" / "clients")]

import checks
import debian
from run import Skip, program, stop_broker
from stores import free_port

RULES = ROOT / "deploy" / "prometheus"
DASHBOARD = ROOT / "deploy" / "grafana" / "floe.json"
LIMIT = 60
# Series that only trouble brings; what counts them is in the source.
TROUBLE = {"floe_kafka_errors_total": "crates/broker/src/metrics.rs"}


def tools():
    """promtool and prometheus."""
    names = ("promtool", "prometheus")
    found = [shutil.which(name) for name in names]
    return found if all(found) else [str(debian.unpacked("prometheus") / "usr" / "bin" / name) for name in names]


def rules():
    promtool, _ = tools()
    for arguments in (["check", "rules", "floe.rules.yml"], ["test", "rules", "floe.rules.test.yml"]):
        done = subprocess.run([promtool, *arguments], cwd=RULES, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    tested = (RULES / "floe.rules.test.yml").read_text()
    names = re.findall(r"- alert: (\w+)", (RULES / "floe.rules.yml").read_text())
    missing = [name for name in names if name not in tested]
    assert len(names) > 5 and not missing, f"alerts without a test: {missing}"
    told = (ROOT / "docs" / "operations.md").read_text()
    missing = [name for name in names if f"`{name}`" not in told]
    assert not missing, f"alerts that docs/operations.md does not explain: {missing}"
    return f"promtool: {len(names)} alerts, each raised by a test"


def queries():
    """Where each stands, and the query with the dashboard's variables filled in."""
    dashboard = json.loads(DASHBOARD.read_text())
    for panel in dashboard["panels"]:
        for target in panel.get("targets", []):
            yield f"panel {panel['title']}", target["expr"].replace("$__rate_interval", "30s").replace("$instance", ".*")
    variable = next(v for v in dashboard["templating"]["list"] if v["name"] == "instance")
    yield "variable instance", re.fullmatch(r"label_values\((\w+), instance\)", variable["definition"])[1]


def rule_queries(promtool_rules):
    """Each side of a comparison: an alert that is not raised has no answer, what it compares must have one. Kinds of failure that a store
    which is well does not bring are left out: other kinds are there."""
    for group in promtool_rules:
        for rule in group["rules"]:
            for query in rule["query"].split(" or "):
                query = re.sub(r"\s*(>|==)\s*[0-9.e+ *()]+$", "", query)
                yield f"alert {rule['name']}", query.replace('{kind!~"Exists|NotFound"}', "")


@contextlib.contextmanager
def broker(folder):
    """A broker under a little load of every kind; its admin address."""
    kafka, admin = (f"127.0.0.1:{free_port()}" for _ in range(2))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FLOE_")}
    command = [program(), "serve", "--data", folder / "data", "--listen", kafka, "--admin", admin]
    with open(folder / "broker.log", "w") as log:
        process = subprocess.Popen([str(c) for c in command], stdout=log, stderr=log, env=environment)
    stop = threading.Event()
    thread = threading.Thread(target=load, args=(kafka, stop))
    try:
        wait(lambda: read(f"http://{admin}/readyz"))
        thread.start()
        yield admin
        stop.set()
        thread.join()
        assert stop_broker(process) == 0
    finally:
        stop.set()
        process.kill()
        process.wait()


def load(kafka, stop):
    floe = program()
    lines = "".join(f"record {n}\n" for n in range(100))
    while not stop.is_set():
        subprocess.run([floe, "produce", "events", "-b", kafka], input=lines, text=True, capture_output=True)
        subprocess.run([floe, "consume", "events", "-e", "-g", "readers", "-b", kafka], capture_output=True)
        subprocess.run([floe, "topic", "describe", "events", "-b", kafka], capture_output=True)


@contextlib.contextmanager
def prometheus(folder, binary, target):
    address = f"127.0.0.1:{free_port()}"
    (folder / "prometheus.yml").write_text(
        json.dumps(
            {
                "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
                "rule_files": [str(RULES / "floe.rules.yml")],
                "scrape_configs": [{"job_name": "floe", "static_configs": [{"targets": [target]}]}],
            }
        )
    )
    command = [binary, f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'tsdb'}", f"--web.listen-address={address}"]
    with open(folder / "prometheus.log", "w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        wait(lambda: read(f"http://{address}/-/ready"))
        yield address
    finally:
        process.kill()
        process.wait()


def read(url):
    with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=10) as answer:
        return answer.read().decode()
    return None


def wait(ready):
    deadline = time.monotonic() + LIMIT
    while not ready():
        assert time.monotonic() < deadline, f"nothing in {LIMIT} s"
        time.sleep(0.1)


def ask(address, query):
    url = f"http://{address}/api/v1/query?{urllib.parse.urlencode({'query': query})}"
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return json.loads(answer.read())["data"]["result"]
    except urllib.error.HTTPError as error:
        raise AssertionError(f"{query}: {error.read().decode()}") from None


def answered():
    folder = Path(tempfile.mkdtemp(prefix="floe-observability-"))
    try:
        _, binary = tools()
    except Skip as reason:
        with broker(folder) as admin:
            count = named(wait_for_metrics(admin))
        shutil.rmtree(folder)
        return f"{count} names are real; queries not asked: {reason}"
    with broker(folder) as admin, prometheus(folder, binary, admin) as address:
        groups = json.loads(read(f"http://{address}/api/v1/rules"))["data"]["groups"]
        asked = [*queries(), *rule_queries(groups)]
        # Rates need two looks at a broker that has done something of each kind.
        unanswered = asked
        deadline = time.monotonic() + LIMIT
        while unanswered and time.monotonic() < deadline:
            time.sleep(0.5)
            unanswered = [(where, query) for where, query in unanswered if not ask(address, query) and not is_trouble(query)]
        assert not unanswered, "no answer to: " + "; ".join(f"{where}: {query}" for where, query in unanswered)
        count = named(wait_for_metrics(admin))
        firing = ask(address, 'ALERTS{alertstate="firing"}')
        assert not firing, f"a broker that is well raises {firing}"
    shutil.rmtree(folder)
    return f"Prometheus answers {len(asked)} queries, {count} names are real, no alert is raised"


def is_trouble(query):
    return any(name in query for name in TROUBLE)


def wait_for_metrics(admin):
    url = f"http://{admin}/metrics"
    wait(lambda: (read(url) or "").count('floe_store_request_duration_seconds_bucket{') > 0)
    return read(url)


def named(metrics):
    """Every metric that is named anywhere here is one of a broker's."""
    real = set(re.findall(r"^(floe_\w+)[{ ]", metrics, re.M)) | set(TROUBLE)
    texts = [DASHBOARD.read_text(), (RULES / "floe.rules.yml").read_text(), (RULES / "floe.rules.test.yml").read_text()]
    # The summary of an alert may name a metric by its family.
    families = {name.removesuffix("_total") for name in real}
    names = {name for text in texts for name in re.findall(r"\bfloe_\w+", text)}
    assert not names - real - families, f"no metrics of a broker: {sorted(names - real - families)}"
    return len(names)


if __name__ == "__main__":
    checks.main("observability", {"rules": lambda _: rules(), "queries": lambda _: answered()})
