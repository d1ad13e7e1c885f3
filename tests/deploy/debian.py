"""Programs of Debian packages without installing them: some would start services. They are unpacked into target/."""

import subprocess

from run import TARGET, Skip, need


def unpacked(*packages):
    """The folder that holds the packages' files; what they depend on is expected to be there."""
    folder = TARGET / "debian" / packages[0]
    if not (folder / "complete").exists():
        need("apt-get", "dpkg")
        folder.mkdir(parents=True, exist_ok=True)
        for package in packages:
            # Lists of packages may be missing, or older than the packages.
            for command in (["download", package], ["update"], ["download", package]):
                done = subprocess.run(["apt-get", "-qq", *command], cwd=folder, capture_output=True)
                if command[0] == "download" and done.returncode == 0:
                    break
            else:
                raise Skip(f"{package} is neither here nor to be had as a Debian package")
            subprocess.run(["dpkg", "-x", next(folder.glob(f"{package}_*.deb")), folder], check=True)
        (folder / "complete").touch()
    return folder
