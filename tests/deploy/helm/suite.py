#!/usr/bin/env python3
"""deploy/helm/floe: python3 tests/deploy/helm/suite.py

Values and schema are compared; with helm the chart is linted, every example rendered and looked at as Kubernetes would (selectors, ports, volumes), the
settings and arguments that a pod gets are given to a broker, and what must be refused is. helm is FLOE_TEST_HELM, target/go/helm or the one on the path;
with FLOE_TEST_FULL=1 it is built from its Go module if there is none. Needs PyYAML, which xtask installs.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent.parent
sys.path[:0] = [str(HERE.parent), str(ROOT / "tests" / "clients")]

import built
import checks
from run import Skip, program

CHART = ROOT / "deploy" / "helm" / "floe"
HELM = "helm.sh/helm/v3/cmd/helm@v3.18.6"
GOOD = {"acceptNoSecurity": True, "image": {"repository": "registry.example/floe"}, "store": {"url": "s3://bucket/floe"}}
CLUSTER = {"enabled": True, "etcd": ["http://etcd:2379"]}
# Values over good ones, and a word of the refusal.
REFUSED = [
    ({"acceptNoSecurity": False}, "acceptNoSecurity"),
    ({"image": {"repository": ""}}, "repository"),
    ({"store": {"url": "http://bucket"}}, "store.url|store/url|/store"),
    ({"replicas": 2}, "cluster.enabled"),
    ({"replicas": -1}, "replicas"),
    ({"replica": 1}, "replica"),
    ({"cluster": {"enabled": True}}, "etcd"),
    ({"cluster": {**CLUSTER, "etcd": ["etcd:2379"]}}, "etcd"),
    ({"cluster": CLUSTER, "advertise": "a:1"}, "advertise"),
    ({"external": {"enabled": True, "host": "a"}}, "external"),
    ({"cluster": CLUSTER, "external": {"enabled": True, "host": "kafka.example"}}, "POD_INDEX"),
    ({"settings": {"insecure": "false"}}, "insecure"),
    ({"settings": {"Num Partitions": 1}}, "Num Partitions"),
    ({"service": {"port": 80}}, "port"),
    ({"autoscaling": {"hpa": {"enabled": True}}}, "cluster.enabled"),
    ({"autoscaling": {"keda": {"enabled": True, "maxReplicas": 2, "triggers": [{"type": "cron", "metadata": {}}]}}}, "cluster.enabled"),
    ({"autoscaling": {"keda": {"enabled": True}}}, "triggers"),
]


def load_yaml():
    try:
        import yaml
    except ImportError:
        raise Skip("PyYAML is not here: cargo xtask test installs it") from None
    return yaml


def schema():
    """Every value has its place in the schema, and the other way round."""
    yaml = load_yaml()
    text = json.loads((CHART / "values.schema.json").read_text())
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    found = differences(text, values, "")
    assert not found, found
    return "values and schema name the same"


def differences(schema, values, at):
    if schema.get("additionalProperties") is not False:
        return []
    names, known = set(values), set(schema["properties"]) - {"global"}
    found = [f"{at}{name}" for name in names ^ known]
    for name in names & known:
        if isinstance(values[name], dict):
            found += differences(schema["properties"][name], values[name], f"{at}{name}.")
    return found


def helm():
    return built.go("helm", HELM)


def render(*arguments):
    return subprocess.run([helm(), "template", "log", str(CHART), "--kube-version", "1.31.0", *arguments], capture_output=True, text=True)


def rendered():
    yaml = load_yaml()
    examples = sorted((CHART / "examples").glob("*.yaml"))
    assert len(examples) >= 4, examples
    for example in examples:
        done = subprocess.run([helm(), "lint", str(CHART), "--strict", "--kube-version", "1.31.0", "-f", example], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        done = render("-f", str(example))
        assert done.returncode == 0, f"{example.name}: {done.stderr}"
        looked_at(example.name, [part for part in yaml.safe_load_all(done.stdout) if part])
    return f"{len(examples)} examples; a broker takes the settings of those that work today"


def looked_at(name, parts):
    kinds = {}
    for part in parts:
        assert part["apiVersion"] and part["metadata"]["name"], part
        kinds.setdefault(part["kind"], []).append(part)
    (workload,) = kinds["StatefulSet"]
    spec, pod = workload["spec"], workload["spec"]["template"]["spec"]
    labels = workload["spec"]["template"]["metadata"]["labels"]
    (container,) = pod["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    selectors = [spec["selector"]["matchLabels"]]
    selectors += [s["spec"]["selector"] for s in kinds["Service"]]
    selectors += [p["spec"]["selector"]["matchLabels"] for p in kinds["PodDisruptionBudget"]]
    selectors += [p["spec"]["podSelector"]["matchLabels"] for p in kinds["NetworkPolicy"]]
    selectors += [c["labelSelector"]["matchLabels"] for c in pod["topologySpreadConstraints"]]
    for selector in selectors:
        assert {k: v for k, v in selector.items() if not k.startswith("statefulset")}.items() <= labels.items(), f"{name}: {selector} selects no pod"
    for service in kinds["Service"]:
        for port in service["spec"]["ports"]:
            assert port["targetPort"] in ports, f"{name}: {service['metadata']['name']} leads to {port}"
    assert spec["serviceName"] in {s["metadata"]["name"] for s in kinds["Service"] if s["spec"].get("clusterIP") == "None"}, name
    volumes = {v["name"] for v in pod["volumes"]} | {c["metadata"]["name"] for c in spec.get("volumeClaimTemplates", [])}
    assert {m["name"] for m in container["volumeMounts"]} == volumes, f"{name}: {volumes}"
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert container[probe]["httpGet"]["port"] in ports, f"{name}: {probe}"
    assert pod["securityContext"]["runAsNonRoot"] and container["securityContext"]["readOnlyRootFilesystem"], name
    for scaler in kinds.get("HorizontalPodAutoscaler", []) + kinds.get("ScaledObject", []):
        assert scaler["spec"]["scaleTargetRef"]["name"] == workload["metadata"]["name"] and "replicas" not in spec, name
    admitted(name, kinds["NetworkPolicy"][0], ports)
    (config,) = kinds["ConfigMap"]
    takes(name, config["data"]["floe.toml"], container, ports)


def admitted(name, policy, ports):
    """The listener between brokers admits brokers only."""
    for rule in policy["spec"]["ingress"]:
        to = {port["port"] for port in rule["ports"]}
        assert to <= set(ports), f"{name}: {to}"
        if "peers" in to:
            assert rule["from"] == [{"podSelector": policy["spec"]["podSelector"]}], f"{name}: {rule}"


def takes(name, config, container, ports):
    """A broker says what it makes of the settings; it does not know a cluster's options yet, and those are not given to it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "floe.toml"
        path.write_text(config)
        arguments = [argument.replace("/etc/floe/floe.toml", str(path)) for argument in container["args"]]
        if any(argument.startswith("--etcd=") for argument in arguments):
            theirs = ("--etcd=", "--broker-id=", "--rack=", "--peer-listen=", "--listen=", "--advertise=")
            arguments = [argument for argument in arguments if not argument.startswith(theirs)] + ["--advertise=broker:9092"]
        environment = {k: v for k, v in os.environ.items() if not k.startswith("FLOE_")}
        done = subprocess.run([program(), *arguments, "--dump-config"], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, f"{name}: {done.stderr}"
    for line in [f'listen = "0.0.0.0:{ports["kafka"]}"', f'admin = "0.0.0.0:{ports["admin"]}"', "insecure = true", 'log.format = "json"']:
        assert line in done.stdout, f"{name}: {line} is not in {done.stdout[:1500]}"


def refused():
    for number, (values, word) in enumerate(REFUSED):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "values.json"
            path.write_text(json.dumps({**GOOD, **values}))
            done = render("-f", str(path))
        assert done.returncode != 0, f"{values} is taken"
        assert any(w in done.stderr for w in word.split("|")), f"{values}: {done.stderr}"
    done = subprocess.run([helm(), "template", "log", str(CHART), "--kube-version", "1.31.0"], capture_output=True, text=True)
    assert done.returncode != 0, "a chart without values is taken"
    return f"{number + 2} sets of values, each with its message"


if __name__ == "__main__":
    checks.main("helm", {"schema": lambda _: schema(), "rendered": lambda _: rendered(), "refused": lambda _: refused()})
