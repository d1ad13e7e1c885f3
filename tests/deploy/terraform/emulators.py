"""apply → plan without changes → change a variable → destroy, with the real AWS provider, on emulators of AWS.

LocalStack's free edition serves what is around brokers, and there a second plan must be empty. moto serves all that the module makes; what it
does not give back as it was set is listed, and anything else fails. Each is installed into target/ by pip, pinned.
"""

import base64
import contextlib
import json
import os
import re
import subprocess
import sys
import threading
import time
import traceback
import urllib.parse
import urllib.request
from xml.etree import ElementTree

import static
from run import TARGET, program, quiet, start_broker, stop_broker
from stores import free_port
from tf import Terraform

LIMIT = 120
MOTO = ["moto[server]==5.2.5"]
# The demo's: the newest for Python 3.11 (Debian 12); without the other pins it does not start.
LOCALSTACK = (static.ROOT / "localstack" / "requirements.txt").read_text().split()
# What moto does not give back as it was set: resource -> attributes.
MOTO_DIFFERENCES = {
    # An unset preference comes back as null in place of "".
    "aws_autoscaling_group": {"capacity_reservation_specification", "launch_template"},
    # The template's own tags come back as tags for what it makes; the group then sees another version coming.
    "aws_launch_template": {"tag_specifications", "default_version", "latest_version"},
    # Rules between groups come back without.
    "aws_vpc_security_group_egress_rule": {"description"},
    "aws_vpc_security_group_ingress_rule": {"description"},
}
SUM = "0123456789abcdef" * 4


def installed(name, packages):
    """A Python environment of its own: both pin what the other wants otherwise."""
    venv = TARGET / f"venv-{name}"
    stamp = venv / "floe-packages"
    if not stamp.exists() or stamp.read_text() != "\n".join(packages):
        quiet([sys.executable, "-m", "venv", venv], "python3 -m venv")
        quiet([venv / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages], "pip install")
        stamp.write_text("\n".join(packages))
    return venv / "bin" / "python"


@contextlib.contextmanager
def server(folder, command, environment, health):
    with open(folder / "server.log", "w") as log:
        process = subprocess.Popen([str(c) for c in command], stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, cwd=folder)
    try:
        deadline = time.monotonic() + LIMIT
        while not answered(health):
            assert process.poll() is None and time.monotonic() < deadline, (folder / "server.log").read_text()[-3000:]
            time.sleep(0.2)
        yield
    finally:
        process.kill()
        process.wait()


def answered(url):
    with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=5):
        return True
    return False


@contextlib.contextmanager
def localstack_server(folder):
    """Its endpoint."""
    python = installed("localstack", LOCALSTACK)
    port = free_port()
    here = f"127.0.0.1:{port}"
    # Without OVERRIDE_IN_DOCKER it may take this machine for a container of its own; hypercorn binds only what it is told.
    environment = dict(os.environ, OVERRIDE_IN_DOCKER="0", FILESYSTEM_ROOT=str(folder / "state"), GATEWAY_SERVER="hypercorn", GATEWAY_LISTEN=here)
    environment |= {"LOCALSTACK_HOST": here, "DNS_ADDRESS": "0", "DISABLE_EVENTS": "1", "SKIP_SSL_CERT_DOWNLOAD": "1", "PERSISTENCE": "0"}
    environment |= {"EAGER_SERVICE_LOADING": "0"}
    with server(folder, [python, "-m", "localstack.runtime.main"], environment, f"http://{here}/_localstack/health"):
        yield f"http://{here}"


def localstack(folder):
    with localstack_server(folder) as endpoint:
        terraform = Terraform(folder, "examples/localstack")
        terraform.init()
        variables = {"endpoint": endpoint}
        added = terraform.apply(variables)
        assert terraform.changes(variables) == {}, terraform.changes(variables)
        records = a_broker_on(folder, terraform)
        variables["log_retention_days"] = 30
        assert list(terraform.changes(variables)) == ["module.floe.aws_cloudwatch_log_group.broker[0]"], terraform.changes(variables)
        changed = terraform.apply(variables)
        assert changed[1] == 1 and changed[0] == changed[2] == 0, changed
        assert terraform.changes(variables) == {}, terraform.changes(variables)
        destroyed = terraform.destroy(variables)
    assert destroyed[0] == added[0] > 15, (added, destroyed)
    return f"{added[0]} resources, no changes after, one changed, all destroyed; a broker on its bucket kept {records} records over a restart"


def a_broker_on(folder, terraform):
    """Runs a broker with the settings that came out, twice."""
    config = folder / "floe.toml"
    config.write_text(terraform.output("config_file"))
    keys = ["-o", "s3.access.key.id=test", "-o", "s3.secret.access.key=test", "--config", str(config)]
    for data, records in (("first", 100), ("second", 200)):
        (folder / data).mkdir()
        broker, bootstrap = start_broker(folder / data, [], keys)
        try:
            lines = "".join(f"record {n}\n" for n in range(100))
            subprocess.run([program(), "produce", "events", "-b", bootstrap], input=lines, text=True, check=True, capture_output=True, timeout=60)
            found = subprocess.run([program(), "consume", "events", "-e", "-b", bootstrap], text=True, check=True, capture_output=True, timeout=60).stdout
            assert len(found.splitlines()) == records, found
            assert stop_broker(broker) == 0
        finally:
            broker.kill()
            broker.wait()
    return records


def moto(folder):
    python = installed("moto", MOTO)
    port = free_port()
    endpoint = f"http://127.0.0.1:{port}"
    command = [python.parent / "moto_server", "-H", "127.0.0.1", "-p", port]
    said = []
    with server(folder, command, dict(os.environ), f"{endpoint}/moto-api/data.json"):
        network = a_network(endpoint)
        with detaching(endpoint):
            for example, more, changed in EXAMPLES:
                said.append(one_life(folder, endpoint, example, {**network, **COMMON, "bucket": example, **more}, changed))
    return "; ".join(said)


COMMON = {
    "region": "us-east-1",
    "client_cidrs": ["10.0.0.0/16"],
    "binary_url": "http://10.0.0.1/floe",
    "binary_sha256": SUM,
    "accept_no_security": True,
}
# Example, its variables, and a change with what it touches.
EXAMPLES = [
    ("aws-single", {}, ({"brokers": 0}, {"module.floe.aws_autoscaling_group.broker[0]"})),
    (
        "aws",
        {"etcd_url": "http://10.0.0.1/etcd.tar.gz", "etcd_sha256": SUM},
        ({"settings": {"num.partitions": "6"}}, {"module.floe.aws_launch_template.broker[0]"}),
    ),
]


def one_life(folder, endpoint, example, variables, change):
    terraform = Terraform(folder, f"examples/{example}")
    # The example as it is, but for where AWS is, and for what moto does not do: StartInstanceRefresh.
    services = ["autoscaling", "cloudwatch", "ec2", "elbv2", "iam", "logs", "s3", "ssm", "sts"]
    endpoints = "".join(f'    {name} = "{endpoint}"\n' for name in services)
    flags = "".join(f"  {name} = true\n" for name in ["s3_use_path_style", "skip_credentials_validation", "skip_metadata_api_check"])
    (terraform.where / "moto_override.tf").write_text(
        'module "floe" {\n  replace_instances = false\n}\n'
        f'provider "aws" {{\n  access_key = "test"\n  secret_key = "test"\n{flags}  endpoints {{\n{endpoints}  }}\n}}\n'
    )
    terraform.init()
    added = terraform.apply(variables)
    left = unexpected(terraform.changes(variables))
    assert not left, f"{example}: a second plan would change {left}"
    user_data(folder, terraform)
    values, touched = change
    variables = {**variables, **values}
    planned = set(unexpected(terraform.changes(variables)))
    assert planned == touched, f"{example}: {values} would change {planned}"
    terraform.apply(variables)
    left = unexpected(terraform.changes(variables))
    assert not left, f"{example}: a plan after the change would change {left}"
    destroyed = terraform.destroy(variables)
    assert destroyed[0] == added[0] > 20, (added, destroyed)
    return f"{example}: {added[0]} resources, no changes after, {next(iter(values))} changed, all destroyed"


def user_data(folder, terraform):
    """What an instance runs at its first start can be read by a shell, and its settings by a broker."""
    state = json.loads(terraform.run("show", "-json"))
    (module,) = state["values"]["root_module"]["child_modules"]
    template = next(r["values"] for r in module["resources"] if r["type"] == "aws_launch_template")
    script = base64.b64decode(template["user_data"]).decode()
    assert len(script) < 16 * 1024, "EC2 takes 16 KiB of user data"
    files = static.unpacked(folder, script)
    bootstrap = terraform.output("bootstrap_servers")
    single = f'advertise = "{bootstrap}"' in files["/etc/floe/floe.toml"]
    unit = files["/etc/systemd/system/floe.service"]
    assert single != ("--etcd" in unit), files
    # The program knows all that the unit gives it: it looks at options before it helps.
    (start,) = [line.removeprefix("ExecStart=") for line in unit.splitlines() if line.startswith("ExecStart=")]
    words = start.replace("${STATE_DIRECTORY}", "data").replace("${RACK}", "a").replace("${ADDRESS}", "10.0.0.9").split()
    known = subprocess.run([program(), *words[1:], "--help"], capture_output=True, text=True, timeout=60)
    assert known.returncode == 0, (words, known.stderr)


def unexpected(changes):
    """Without what moto is known not to give back."""
    found = {}
    for address, attributes in changes.items():
        kind = re.search(r"(\w+)\.\w+(\[.*\])?$", address)[1]
        rest = {name: values for name, values in attributes.items() if name not in MOTO_DIFFERENCES.get(kind, ())}
        if rest:
            found[address] = rest
    return found


def ec2(endpoint, action, **parameters):
    """Asks by EC2's own protocol; the answer's tree, without its namespace."""
    data = urllib.parse.urlencode({"Action": action, "Version": "2016-11-15", **parameters}).encode()
    request = urllib.request.Request(endpoint, data, {"Authorization": AUTHORIZATION, "Content-Type": "application/x-www-form-urlencoded"})
    with urllib.request.urlopen(request, timeout=LIMIT) as answer:
        tree = ElementTree.fromstring(answer.read())
    for element in tree.iter():
        element.tag = element.tag.rpartition("}")[2]
    return tree


@contextlib.contextmanager
def detaching(endpoint):
    """Does what EC2 does and moto does not: the first network interface of an instance that is gone is free again.

    moto refuses to detach the only one of an instance, and cannot describe one without a first: others take its place.
    """
    done = threading.Event()
    failures, seen = [], set()

    def attach(instance, interface, index):
        made = ec2(endpoint, "CreateNetworkInterface", SubnetId=interface.findtext("subnetId")).findtext(".//networkInterfaceId")
        ec2(endpoint, "AttachNetworkInterface", NetworkInterfaceId=made, InstanceId=instance, DeviceIndex=index)

    def watch():
        while not done.wait(0.5):
            gone = ec2(endpoint, "DescribeInstances", **{"Filter.1.Name": "instance-state-name", "Filter.1.Value.1": "terminated"})
            for instance in {found.text for found in gone.iter("instanceId")} - seen:
                seen.add(instance)
                by = {"Filter.1.Name": "attachment.instance-id", "Filter.1.Value.1": instance}
                (interface,) = ec2(endpoint, "DescribeNetworkInterfaces", **by).findall("networkInterfaceSet/item")
                attach(instance, interface, 1)
                ec2(endpoint, "DetachNetworkInterface", AttachmentId=interface.findtext("attachment/attachmentId"))
                attach(instance, interface, 0)

    def guarded():
        try:
            watch()
        except Exception as failure:
            traceback.print_exc()
            failures.append(failure)

    thread = threading.Thread(target=guarded)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join(LIMIT)
    assert not failures, failures


def a_network(endpoint):
    """A VPC with three private subnets."""

    def ask(action, wanted, **parameters):
        return ec2(endpoint, action, **parameters).findtext(f".//{wanted}")

    vpc = ask("CreateVpc", "vpcId", CidrBlock="10.0.0.0/16")
    table = ask("CreateRouteTable", "routeTableId", VpcId=vpc)
    zones = [(n, f"us-east-1{zone}") for n, zone in enumerate("abc")]
    subnets = [ask("CreateSubnet", "subnetId", VpcId=vpc, CidrBlock=f"10.0.{n}.0/24", AvailabilityZone=zone) for n, zone in zones]
    return {"vpc_id": vpc, "subnet_ids": subnets, "route_table_ids": [table]}


# moto checks no signature, only which service is meant.
AUTHORIZATION = "AWS4-HMAC-SHA256 Credential=test/20250101/us-east-1/ec2/aws4_request, SignedHeaders=host, Signature=0"
