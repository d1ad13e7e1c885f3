"""What can be checked without anything that runs: formatting, validity, plans with a mocked provider, and what machines would be given."""

import base64
import json
import os
import re
import shutil
import subprocess

from run import program
from tf import ROOT, Terraform

REQUIRED = {
    "region": '"eu-west-1"',
    "bucket": '"floe-log"',
    "vpc_id": '"vpc-0123456789abcdef0"',
    "subnet_ids": '["subnet-a"]',
    "client_cidrs": '["10.0.0.0/16"]',
    "binary_url": '"https://releases.example/floe"',
    "binary_sha256": '"' + "0" * 64 + '"',
    "etcd_url": '"https://releases.example/etcd.tar.gz"',
    "etcd_sha256": '"' + "0" * 64 + '"',
    "accept_no_security": "true",
    "store_endpoint": '"http://127.0.0.1:9000"',
    "store_access_key_id": '"key"',
    "store_secret_access_key": '"secret"',
    "machines": '{ one = { host = "10.0.0.1" } }',
}


def formatted(_folder):
    done = subprocess.run(["terraform", "fmt", "-check", "-diff", "-recursive", ROOT / "terraform"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    return "terraform fmt finds nothing"


def validated(folder):
    """All examples at once, each as a module of one root: the provider starts once. The module is validated by `terraform test`."""
    terraform = Terraform(folder, "all")
    examples = sorted(path.parent for path in (terraform.tree / "examples").glob("*/main.tf"))
    assert [path.name for path in examples] == ["aws", "aws-single", "localstack", "minio"], examples
    text = ""
    for example in examples:
        assert (example / "README.md").read_text().count("\n## Cost\n") == 1, f"{example.name} has no cost note"
        source = (example / "main.tf").read_text()
        needed = [name for name, block in re.findall(r'^variable "(\w+)" \{\n(.*?)^\}', source, re.M | re.S) if "  default " not in block]
        text += f'module "{example.name}" {{\n  source = "../examples/{example.name}"\n' + "".join(f"  {n} = {REQUIRED[n]}\n" for n in needed) + "}\n"
    (terraform.where / "main.tf").write_text(text)
    terraform.init()
    terraform.run("validate", "-no-color")
    return f"{len(examples)} examples"


def tested(folder):
    terraform = Terraform(folder, "modules/floe")
    terraform.init()
    out = terraform.run("test", "-no-color", codes=(0, 1))
    summary = out.strip().splitlines()[-1]
    assert terraform.code == 0, out[-3000:] + terraform.errors[-6000:]
    return summary


def installed(folder):
    """The script and unit files of the minio example, with a provider that is never asked: shells and systemd read them."""
    terraform = Terraform(folder, "modules/floe")
    (terraform.where / "show.tf").write_text('output "shown" {\n  value = nonsensitive(jsonencode(local.scripts))\n}\n')
    (terraform.where / "provider.tf").write_text(PROVIDER)
    terraform.init()
    variables = {
        "platform": "machines",
        "accept_no_security": True,
        "binary_url": "http://127.0.0.1:1/floe",
        "binary_sha256": "0" * 64,
        "bucket": "floe",
        "bucket_protection": False,
        "store_endpoint": "http://127.0.0.1:2",
        "store_access_key_id": "key",
        "store_secret_access_key": "secret",
        "machines": {"one": {"host": "10.0.0.1"}},
        "idle_exit": "15m",
    }
    (terraform.where / "test.tfvars.json").write_text(json.dumps(variables))
    terraform.run("plan", "-no-color", "-input=false", "-refresh=false", "-var-file=test.tfvars.json", "-out=plan")
    shown = json.loads(terraform.run("show", "-json", "plan"))
    script = json.loads(shown["planned_values"]["outputs"]["shown"]["value"])["one"]
    files = unpacked(folder, script)
    assert set(files) >= {"/etc/floe/credentials", "/etc/systemd/system/floe.socket"}, list(files)
    return f"{len(files)} files, shells read the script, a broker the settings, {verified(folder, files)}"


def unpacked(folder, script):
    """The files that an installation writes, by path; shells can read it, and a broker its settings."""
    (folder / "install.sh").write_text(script)
    for shell in ["sh", "bash"]:
        done = subprocess.run([shell, "-n", folder / "install.sh"], capture_output=True, text=True)
        assert done.returncode == 0, f"{shell}: {done.stderr}"
    files = {path: base64.b64decode(text).decode() for path, text in re.findall(r"^write '(\S+)' \d+ <<'END'\n(.*?)\nEND$", script, re.M | re.S)}
    hardened_alike(files["/etc/systemd/system/floe.service"])
    (folder / "floe.toml").write_text(files["/etc/floe/floe.toml"])
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FLOE_")}
    # In a cluster a machine adds its own address.
    environment |= {} if "advertise" in files["/etc/floe/floe.toml"] else {"FLOE_ADVERTISE": "10.0.0.1:9092"}
    done = subprocess.run([program(), "serve", "--config", folder / "floe.toml", "--dump-config"], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return files


def hardened_alike(service):
    """The unit has every line of deploy/systemd's that limits what a broker may do, and restarts alike."""
    ours = (ROOT / "deploy" / "systemd" / "floe.service").read_text()
    lines = [line for line in ours.splitlines() if re.match(r"(Protect|Private|Restrict|NoNew|Lock|Memory|SystemCall|Restart|Success|Dynamic|Limit|Timeout)", line)]
    missing = [line for line in lines if line not in service.splitlines()]
    assert len(lines) > 15 and not missing, f"not in the module's unit: {missing}"


def verified(folder, files):
    if not shutil.which("systemd-analyze"):
        return "systemd-analyze is not here"
    for path, text in files.items():
        if path.startswith("/etc/systemd/system/"):
            # The program is not installed here.
            (folder / path.rsplit("/", 1)[1]).write_text(text.replace("/usr/local/bin/floe", "/bin/true"))
    units = [str(folder / name) for name in ("floe.service", "floe.socket")]
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", *units], capture_output=True, text=True)
    # It also tells of the machine's own units.
    about = [line for line in (done.stdout + done.stderr).splitlines() if "floe." in line]
    assert not about, "\n".join(about)
    return "systemd-analyze finds nothing"


PROVIDER = """
provider "aws" {
  region                      = "us-east-1"
  access_key                  = "key"
  secret_key                  = "secret"
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_requesting_account_id  = true
}
"""
