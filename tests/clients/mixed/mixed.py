"""Old and new clients in one group: mixed.py MEMBERS, a JSON list of [name, command, environment].

The first half joins, then the other one; each member has a part and reads, all parts together are the topic, some crash and some leave,
and in the end every acknowledged record was read by somebody. Who owns what is asked of the broker. Runs with the newest Python clients.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time

import confluent_kafka as ck
import kafka
from confluent_kafka.admin import AdminClient, NewTopic

BOOTSTRAP = os.environ["FLOE_BOOTSTRAP"]
TOPIC = os.environ["FLOE_TOPIC"]
GROUP = f"{TOPIC}-group"
PARTITIONS = 30
PATIENCE = 90
RATE = 300


def until(what, done):
    began = time.monotonic()
    while not done():
        assert time.monotonic() - began < PATIENCE, f"not in {PATIENCE} s: {what()}"
        time.sleep(0.1)


class Member:
    def __init__(self, name, command, environment, folder):
        self.name, self.out = name, os.path.join(folder, name)
        settings = dict(os.environ, FLOE_GROUP=GROUP, FLOE_NAME=name, **environment)
        command = [word.format(bootstrap=BOOTSTRAP, topic=TOPIC, group=GROUP, name=name) for word in command]
        self.errors = open(self.out + ".errors", "w+")
        self.process = subprocess.Popen(command, env=settings, stdout=open(self.out, "w"), stderr=self.errors)

    def seen(self):
        """Partition, offset and value of each record. The last line may be under way."""
        text = open(self.out).read()
        return [tuple(line.split()) for line in text[: text.rfind("\n") + 1].splitlines()]

    def check(self):
        if self.process.poll() is not None:
            self.errors.seek(0)
            raise AssertionError(f"{self.name} ended with {self.process.returncode}: {self.errors.read()[-2000:]}")

    def crash(self):
        self.process.kill()
        self.process.wait()

    def leave(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(PATIENCE)


class Load(threading.Thread):
    """Sends numbered records to all partitions, and keeps what was acknowledged."""

    def __init__(self):
        super().__init__(daemon=True)
        self.acknowledged, self.failed, self.ends = set(), [], False

    def delivered(self, error, message):
        if error:
            self.failed.append(error)
        else:
            self.acknowledged.add((str(message.partition()), str(message.offset()), message.value().decode()))

    def run(self):
        producer, n = ck.Producer({"bootstrap.servers": BOOTSTRAP, "enable.idempotence": True, "linger.ms": 20}), 0
        while not self.ends:
            producer.produce(TOPIC, f"value-{n}", partition=n % PARTITIONS, on_delivery=self.delivered)
            n += 1
            producer.poll(1 / RATE)
        producer.flush(60)


def shares(admin):
    """By client id, how many partitions each member has; nothing while the group is not stable."""
    group = admin.describe_groups([GROUP])[GROUP]
    if group["group_state"] != "Stable":
        return {}
    shares = {}
    for member in group["members"]:
        assignment = member["member_assignment"] or {}
        topics = assignment.get("assigned_partitions") or []
        shares[member["client_id"]] = [p for topic in topics for p in topic["partitions"]]
    return shares


def all_share(admin, members):
    found = {}

    def done():
        for member in members:
            member.check()
        found.clear()
        found.update(shares(admin))
        owned = sorted(p for part in found.values() for p in part)
        return len(found) == len(members) and all(found.values()) and owned == list(range(PARTITIONS))

    until(lambda: f"{len(members)} members share the topic: {found}", done)
    before = {member.name: len(member.seen()) for member in members}

    def idle():
        return [member.name for member in members if len(member.seen()) == before[member.name]]

    until(lambda: f"{' '.join(idle())} read nothing", lambda: not idle())


def main():
    wanted = json.loads(sys.argv[1])
    creator = AdminClient({"bootstrap.servers": BOOTSTRAP})
    creator.create_topics([NewTopic(TOPIC, PARTITIONS, 1)])[TOPIC].result(30)
    admin = kafka.KafkaAdminClient(bootstrap_servers=BOOTSTRAP)
    load, everybody = Load(), []
    load.start()
    with tempfile.TemporaryDirectory(prefix="floe-mixed-") as folder:
        try:
            half = (len(wanted) + 1) // 2
            for part in [wanted[:half], wanted[half:]]:
                everybody += [Member(*one, folder) for one in part]
                all_share(admin, everybody)
            # One of each age crashes, one of each leaves.
            gone = [everybody[0], everybody[half], everybody[1], everybody[half + 1]]
            for member in gone[:2]:
                member.crash()
            for member in gone[2:]:
                member.leave()
            stay = [member for member in everybody if member not in gone]
            all_share(admin, stay)
            load.ends = True
            load.join()
            assert not load.failed, load.failed[:3]

            def missing():
                return load.acknowledged - {record for member in everybody for record in member.seen()}

            until(lambda: f"{len(missing())} records were read by nobody: {sorted(missing())[:5]}", lambda: not missing())
            for member in stay:
                member.check()
                member.leave()
            committed = admin.list_group_offsets({GROUP: None})[GROUP]
            ends = {}
            for partition, offset, _ in load.acknowledged:
                ends[int(partition)] = max(ends.get(int(partition), 0), int(offset) + 1)
            beyond = {p.partition: (at.offset, ends[p.partition]) for p, at in committed.items() if at.offset > ends[p.partition]}
            assert len(committed) == PARTITIONS and not beyond, f"committed: {committed}"
        finally:
            for member in everybody:
                member.process.kill()
    names = " ".join(member.name for member in everybody)
    print(f"{len(everybody)} members of one group, {len(load.acknowledged)} records: {names}")


main()
