"""Terraform on a copy of terraform/, with the AWS provider from a mirror on this machine."""

import glob
import json
import os
import shutil
import subprocess
from pathlib import Path

from run import Skip

ROOT = Path(__file__).resolve().parent.parent.parent.parent
# Where Terraform itself looks for mirrors, and one folder below /opt.
MIRRORS = ["/opt/*", "/usr/share/terraform/plugins", "/usr/local/share/terraform/plugins", str(Path.home() / ".terraform.d" / "plugins")]
PROVIDER = "*/hashicorp/aws/*/linux_amd64"


class Terraform:
    """A copy of terraform/ in `folder`; commands run in `where`, a folder of it."""

    def __init__(self, folder, where):
        self.tree = folder / "terraform"
        if not self.tree.exists():
            leave = shutil.ignore_patterns(".terraform", ".terraform.lock.hcl", "terraform.tfstate*")
            shutil.copytree(ROOT / "terraform", self.tree, ignore=leave)
        self.where = self.tree / where
        self.where.mkdir(parents=True, exist_ok=True)
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "TF_"))}
        self.environment |= {"TF_CLI_CONFIG_FILE": str(configuration(folder)), "TF_IN_AUTOMATION": "1", "CHECKPOINT_DISABLE": "1"}
        self.environment |= {"AWS_EC2_METADATA_DISABLED": "true"}

    def run(self, *arguments, codes=(0,), limit=900):
        """Its output; anything but an exit code of `codes` fails."""
        command = ["terraform", *map(str, arguments)]
        done = subprocess.run(command, cwd=self.where, env=self.environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=limit)
        if done.returncode not in codes:
            raise AssertionError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout[-6000:]}\n{done.stderr[-6000:]}")
        self.code, self.errors = done.returncode, done.stderr
        return done.stdout

    def init(self):
        """All but the provider, which is there."""
        self.run("get", "-no-color")

    def apply(self, variables):
        """How many resources were added, changed, destroyed."""
        out = self.run("apply", "-no-color", "-input=false", "-auto-approve", *flags(self.where, variables))
        return counts(out)

    def changes(self, variables):
        """What a plan would change: address -> attribute -> before and after. Empty: no changes."""
        plan = self.where / "plan"
        self.run("plan", "-no-color", "-input=false", "-detailed-exitcode", f"-out={plan}", *flags(self.where, variables), codes=(0, 2))
        if self.code == 0:
            return {}
        shown = json.loads(self.run("show", "-json", plan))
        found = {}
        for change in shown.get("resource_changes", []):
            if change["change"]["actions"] not in (["no-op"], ["read"]):
                before, after = change["change"]["before"] or {}, change["change"]["after"] or {}
                names = sorted(before.keys() | after.keys())
                found[change["address"]] = {k: (before.get(k), after.get(k)) for k in names if before.get(k) != after.get(k)}
        return found or {"outputs": shown.get("output_changes", {})}

    def destroy(self, variables):
        out = self.run("destroy", "-no-color", "-input=false", "-auto-approve", *flags(self.where, variables))
        left = self.run("state", "list", "-no-color")
        assert not left.strip(), f"left after destroy: {left}"
        return counts(out)

    def output(self, name):
        return json.loads(self.run("output", "-json", name))


def flags(where, variables):
    """Variables by a file, so that lists and maps need no quoting."""
    path = where / "test.tfvars.json"
    path.write_text(json.dumps(variables))
    return [f"-var-file={path}"]


def counts(out):
    line = next((line for line in out.splitlines() if line.startswith(("Apply complete!", "Destroy complete!"))), "")
    return [int(word) for word in line.replace(",", " ").split() if word.isdigit()]


def provider():
    """The folder of the AWS provider's program."""
    for place in MIRRORS:
        for found in sorted(glob.glob(f"{place}/{PROVIDER}")):
            return found
    raise Skip(f"no mirror of the AWS provider on this machine: {' '.join(MIRRORS)}")


def configuration(folder):
    """Terraform's own settings. The provider is named by its folder: a mirror's would be hashed by every command, and it is 600 MB."""
    path = folder / "terraform.rc"
    path.write_text(f'disable_checkpoint = true\nprovider_installation {{\n  dev_overrides {{\n    "hashicorp/aws" = "{provider()}"\n  }}\n}}\n')
    return path


def mirrored(folder):
    """Settings for those who run `terraform init`: the provider from its mirror, as from the registry."""
    path, mirror = folder / "mirror.rc", Path(provider()).parents[4]
    path.write_text(f'disable_checkpoint = true\nprovider_installation {{\n  filesystem_mirror {{\n    path = "{mirror}"\n  }}\n}}\n')
    return path
