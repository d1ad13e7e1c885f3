#!/usr/bin/env python3
"""The console in headless Chromium, against real brokers: tests/deploy/console/run.sh [views] [switched_off] [cluster] [many]

Each view is opened and checked by what a person sees, light and dark, 1280 and 360 pixels wide; screenshots go to target/console. With FLOE_TEST_FULL=1, or
by name: the consoles of a cluster (without etcd they are skipped), and how soon the list of topics is there with 10,000 partitions (row F8: figures, no
assertion). Without Chromium all of it is skipped.
"""

import contextlib
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent.parent
sys.path[:0] = [str(HERE), str(ROOT / "tests" / "clients")]

import confluent_kafka
from browser import Browser, Page
from confluent_kafka.admin import AdminClient, NewTopic
from run import Skip, need, program, stop_broker

PICTURES = ROOT / "target" / "console"
WIDE, NARROW = 1280, 360
EVIL = "<script>window.pwned = true</script><img src=x onerror='window.pwned = true'>"
DIGITS = "12345678901234567890.000000000000000001"
RUNS = 7
PARTITIONS, TOPICS = 10_000, 1_000


@contextlib.contextmanager
def process(command):
    """A program of ours, and its ready line; it is drained, or at least gone, in the end."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FLOE_")}
    with tempfile.TemporaryFile() as log:
        running = subprocess.Popen([str(c) for c in command], stdout=subprocess.PIPE, stderr=log, env=environment, text=True)
        try:
            line = running.stdout.readline()
            if not line:
                log.seek(0)
                raise AssertionError(f"it ended: {log.read().decode()[-2000:]}")
            yield running, line
            if running.poll() is None:
                assert stop_broker(running) == 0
        finally:
            running.kill()
            running.wait()


@contextlib.contextmanager
def broker(folder, *options):
    """A broker: its process, the clients' address and the console's."""
    command = [program(), "serve", "--data", folder, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]
    with process([*command, *(word for option in options for word in ("-o", option))]) as (running, line):
        kafka, admin = re.search(r"kafka (\S+), admin (\S+),", line).groups()
        yield running, kafka, admin


def create(kafka, topics):
    wanted = [NewTopic(name, num_partitions=partitions, config=config) for name, partitions, config in topics]
    # Answers come as long as the client is there.
    client = AdminClient({"bootstrap.servers": kafka})
    for done in client.create_topics(wanted, request_timeout=300, operation_timeout=300).values():
        done.result()


def produce(kafka, topic, records):
    """(partition, key, value, headers)"""
    producer = confluent_kafka.Producer({"bootstrap.servers": kafka, "linger.ms": 5})
    for partition, key, value, headers in records:
        producer.produce(topic, value=value, key=key, headers=headers, partition=partition)
    assert producer.flush(60) == 0


def order(n):
    return json.dumps({"order": n, "customer": f"c-{n % 37:03}", "lines": [{"sku": f"A-{n % 9}", "quantity": n % 5 + 1}], "total": round(n * 1.07, 2)})


def fill(kafka):
    create(kafka, [("orders", 3, {}), ("odd.records", 1, {}), ("profiles", 2, {"cleanup.policy": "compact", "floe.durability": "object"}), ("empty", 1, {})])
    create(kafka, [(f"service-{n:02}.events", 2, {}) for n in range(60)])
    produce(kafka, "orders", [(n % 3, f"c-{n % 37:03}", order(n), [("trace", f"{n:08x}"), ("source", "web")]) for n in range(900)])
    produce(kafka, "profiles", [(n % 2, f"c-{n:03}", f"name {n}", None) for n in range(37)])
    odd = [
        (0, None, EVIL, [("<b>bold</b>", "<i>header</i>")]),
        (0, "null follows", None, None),
        (0, b"\x00\x01\xfe\xff", bytes(range(256)), None),
        (0, "digits", f'{{"exact": {DIGITS}, "nested": {{"empty": {{}}, "list": [1, 2]}}, "markup": "</pre><h1>no</h1>"}}', None),
        (0, "long", "begin " + "x" * 50_000 + " finish", None),
        (0, "words", "Grüße, 世界 🌍", None),
    ]
    produce(kafka, "odd.records", odd)
    commit(kafka, "billing", {0: 100, 1: 50, 2: 300})


def commit(kafka, group, offsets):
    """A group that has no members and has come so far, by partition of the orders."""
    consumer = confluent_kafka.Consumer({"bootstrap.servers": kafka, "group.id": group})
    consumer.commit(offsets=[confluent_kafka.TopicPartition("orders", partition, offset) for partition, offset in offsets.items()], asynchronous=False)
    consumer.close()


def consumer_of(kafka, group):
    settings = {"bootstrap.servers": kafka, "group.id": group, "auto.offset.reset": "earliest", "enable.auto.commit": False, "client.id": f"{group}-reader"}
    consumer = confluent_kafka.Consumer(settings)
    consumer.subscribe(["orders"])
    return consumer


class World:
    """A broker with something of everything, and the browser."""

    def __init__(self, kafka, admin, page):
        self.kafka, self.admin, self.page = kafka, admin, page

    def open(self, view):
        # A view is opened anew, whatever was shown before.
        self.page.go("about:blank")
        self.page.wait("location.href === 'about:blank'")
        self.page.go(f"{self.admin}/#/{view}")
        self.page.wait("document.querySelector('#main h1')")


def check_overview(world):
    page = world.page
    world.open("")
    page.sees("Overview", "Ready", "Topics", "Produced", "WAL", selector="body")
    number = page.wait("[...document.querySelectorAll('.facts > div')].find((one) => one.innerText.startsWith('Partitions'))?.querySelector('dd').innerText")
    assert number.startswith(str(3 + 1 + 2 + 1 + 120 + 50)), f"partitions: {number}"
    produce(world.kafka, "orders", [(0, "c", order(n), None) for n in range(200)])
    page.wait("[...document.querySelectorAll('.chart')].every((one) => (one.querySelector('.line').getAttribute('d') ?? '').length > 20)", "curves")
    page.wait("/[1-9]/.test([...document.querySelectorAll('.chart')].find((one) => one.innerText.includes('Produced')).querySelector('.most').innerText)")
    page.picture(PICTURES / "overview-busy.png")


def check_brokers(world):
    world.open("brokers")
    world.page.sees("Broker", "this one", "listed", world.kafka)


def check_topics(world):
    page = world.page
    world.open("topics")
    page.sees("empty", "odd.records", "orders", "of 64")
    assert "service-59" not in page.text(), "the second page is on the first"
    page.click("button", "Next")
    page.sees("service-59.events", "51–64 of 64")
    page.click("input[type=search]")
    page.type("ORD")
    page.wait("document.querySelectorAll('tbody tr').length === 2", "orders and odd.records")
    assert page.run("location.hash").startswith("#/topics?q=ORD"), "a link to what is shown can be kept"
    page.click("input[type=checkbox]")
    page.run("document.querySelector('input[type=search]').value = ''; document.querySelector('input[type=search]').dispatchEvent(new Event('input'))")
    page.sees("__consumer_offsets")


def check_topic(world):
    page = world.page
    world.open("topics?q=orders")
    page.click("td a", "orders")
    page.sees("Partition 0", "Partition 2", "Next offset", "local", "In the store")
    assert page.run("document.querySelectorAll('table[aria-label=Partitions] tbody tr').length") == 3
    world.open("topic?name=profiles")
    page.sees("cleanup.policy", "compact", "object", "Settings of its own")
    world.open("topic?name=nothing")
    page.sees('There is no topic "nothing".')


def check_records(world):
    page = world.page
    world.open("records?topic=orders&partition=1&from=start&count=25")
    page.sees("25 records, 0 to 24", "c-001", '"order"')
    page.click("button", "Newer")
    page.sees("25 records, 25 to 49")
    page.click("button", "Older")
    page.sees("25 records, 0 to 24")
    assert page.run("[...document.querySelectorAll('.pager button')].find((one) => one.innerText === 'Older').disabled")
    page.click(".record summary", "c-004")
    page.sees("Headers (2)", "trace", "source", '"customer": "c-004"')
    page.click("#begin")
    page.run("document.querySelector('#begin').value = 'offset'; document.querySelector('#begin').dispatchEvent(new Event('change'))")
    page.run("document.querySelector('input[aria-label=Offset]').value = 120")
    page.click("button", "Show")
    page.sees("25 records, 120 to 144")
    world.open("records?topic=orders&partition=9")
    page.sees('Topic "orders" has no partition 9.')
    world.open("records?topic=empty&partition=0")
    page.sees("The partition is empty.")


def check_odd_records(world):
    page = world.page
    world.open("records?topic=odd.records&partition=0")
    page.sees("6 records, 0 to 5", EVIL, "null follows", "Grüße, 世界 🌍")
    for n in range(6):
        page.run(f"document.querySelectorAll('.record')[{n}].open = true")
    page.sees("<b>bold</b>", "<i>header</i>", f'"exact": {DIGITS},', '"empty": {},', '"markup": "</pre><h1>no</h1>"', "0010  10 11 12")
    page.wait("document.querySelectorAll('.record[open] .body section').length > 10")
    made = page.run("document.querySelectorAll('main script, main img, main b, .records h1').length")
    assert made == 0 and page.run("window.pwned") is None, "what a record holds became markup"
    assert "finish" not in page.text(), "a value of 50,000 bytes is shown whole at once"
    page.click("button", "Show all of it")
    page.sees("finish")


def check_follow(world):
    page = world.page
    world.open("records?topic=orders&partition=2&count=25")
    page.sees("25 records")
    page.click("label", "Follow")
    produce(world.kafka, "orders", [(2, "late", "it has just come", None)])
    page.sees("it has just come")
    page.click(".record summary", "it has just come")
    page.wait("document.querySelector('.record[open]')?.innerText.includes('it has just come')")
    produce(world.kafka, "orders", [(2, "later", "and one more", None)])
    page.sees("and one more")
    assert page.run("document.querySelectorAll('.record[open]').length") == 1, "what was opened is closed by a refresh"


def check_groups(world):
    page = world.page
    reader = consumer_of(world.kafka, "reporting")
    try:
        deadline = time.monotonic() + 60
        while not reader.assignment():
            assert time.monotonic() < deadline, "no assignment in a minute"
            reader.poll(0.2)
        world.open("groups")
        page.sees("billing", "Empty", "reporting", "Stable")
        world.open("groups?q=bil")
        lag = page.wait("document.querySelector('tbody tr td:last-child')?.innerText")
        assert int(lag.replace(",", "")) >= 450, f"lag {lag}"
        page.click("td a", "billing")
        page.sees("Lag", "Nobody is in it.", "orders", "Committed at")
        assert page.run("document.querySelectorAll('table[aria-label=Offsets] tbody tr').length") == 3
        world.open("group?id=reporting")
        page.sees("Stable", "reporting-reader", "127.0.0.1", "range")
        world.open("group?id=nobody")
        page.sees('There is no group "nobody".')
    finally:
        reader.close()


def check_store(world):
    page = world.page
    world.open("store")
    page.sees("Create", "as writes", "Requests so far", "tail", "A month of storage", "0.023")
    spent = page.run("[...document.querySelectorAll('.facts > div')].find((one) => one.innerText.startsWith('Requests so far')).querySelector('dd').innerText")
    assert re.match(r"0\.0\d+", spent), f"spent {spent!r}"


def check_keyboard(world):
    page = world.page
    world.open("topics")
    page.sees("empty")
    page.run("document.activeElement.blur(); window.scrollTo(0, 0)")
    visited = []
    for _ in range(12):
        page.key("Tab", 9)
        visited.append(page.run("document.activeElement.innerText || document.activeElement.getAttribute('aria-label') || document.activeElement.type"))
    assert visited[:7] == ["Skip to content", "Floe", "Overview", "Brokers", "Topics", "Groups", "Store"], visited
    assert "Find a topic" in visited and "empty" in visited, visited
    shown = page.run("(() => { const style = getComputedStyle(document.activeElement); return style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) > 0; })()")
    assert shown, "what has the focus is not to be seen"
    world.open("records?topic=orders&partition=0&from=start")
    page.wait("document.querySelector('.record summary')")
    page.run("document.querySelector('.record summary').focus()")
    page.key("Enter", 13, "\r")
    page.sees("Link to this record")


def check_contrast(world):
    """Of all texts with what lies behind them, as WCAG reckons it: 4.5 to 1."""
    page = world.page
    script = """(() => {
        const style = getComputedStyle(document.documentElement);
        const light = (name) => {
            const parts = style.getPropertyValue(name).trim().match(/[0-9a-f]{2}/gi).slice(0, 3).map((two) => parseInt(two, 16) / 255);
            const [r, g, b] = parts.map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
            return 0.2126 * r + 0.7152 * g + 0.0722 * b;
        };
        const ratio = (a, b) => { const [x, y] = [light(a), light(b)].sort((p, q) => q - p); return (x + 0.05) / (y + 0.05); };
        const pairs = [];
        for (const behind of ['--ground', '--surface', '--soft']) for (const text of ['--text', '--muted', '--accent']) pairs.push([text, behind]);
        for (const kind of ['ok', 'warn', 'bad']) pairs.push([`--${kind}`, `--${kind}-soft`], [`--${kind}`, '--surface']);
        return pairs.map(([text, behind]) => [`${text} on ${behind}`, ratio(text, behind)]).filter(([, value]) => !(value >= 4.5));
    })()"""
    for dark in (False, True):
        page.look(WIDE, dark=dark)
        world.open("")
        poor = page.run(script)
        assert not poor, f"{'dark' if dark else 'light'}: {poor}"
    page.look(WIDE)


VIEWS = {
    "overview": ("", "Kafka requests"),
    "brokers": ("brokers", "this one"),
    "topics": ("topics", "service-01.events"),
    "topic": ("topic?name=orders", "Partition 2"),
    "records": ("records?topic=orders&partition=1&from=start&count=25", "c-001"),
    "odd-records": ("records?topic=odd.records&partition=0", "window.pwned"),
    "groups": ("groups", "billing"),
    "group": ("group?id=billing", "orders"),
    "store": ("store", "as writes"),
}


def check_pictures(world):
    """Every view, light and dark, wide and narrow: what is to be seen is there, and nothing makes the page wider than the screen."""
    page = world.page
    for dark in (False, True):
        for width in (WIDE, NARROW):
            page.look(width, 800 if width == WIDE else 740, dark)
            world.open("")
            for name, (view, text) in VIEWS.items():
                if view:
                    page.run(f"document.querySelector('#main h1').id = 'before'; location.hash = {json.dumps(f'#/{view}')}")
                page.wait("document.querySelector('#main h1') && !document.querySelector('#before')")
                page.sees(text)
                if name == "odd-records":
                    page.run("[0, 3].forEach((n) => { document.querySelectorAll('.record')[n].open = true; })")
                    page.sees("<i>header</i>", DIGITS)
                if name == "overview" and not dark:
                    page.wait("[...document.querySelectorAll('.chart .axis')].every((one) => one.innerText.includes('ago'))", "charts with an axis")
                page.picture(PICTURES / f"{name}-{'dark' if dark else 'light'}-{width}.png")
                wide = page.run("document.documentElement.scrollWidth")
                assert wide <= width, f"{name} is {wide} pixels wide on a screen of {width}"
                behind = page.run("getComputedStyle(document.body).backgroundColor")
                assert (behind == "rgb(16, 21, 27)") == dark, f"{name}: {behind}"
    page.look(WIDE)


def check_inside(world):
    """Nothing was loaded from elsewhere, nothing was thrown, and no policy was broken by any of the views before."""
    page = world.page
    elsewhere = sorted({url for url in page.requests if not url.startswith((world.admin, "about:"))})
    assert not elsewhere, f"asked elsewhere: {elsewhere}"
    # What the checks above have asked for on purpose.
    expected = re.compile(r"status of (404|409|403)")
    troubles = [trouble for trouble in page.troubles if not expected.search(trouble)]
    assert not troubles, troubles
    broken = page.run("""new Promise((done) => {
        document.addEventListener('securitypolicyviolation', (event) => done(event.violatedDirective), { once: true });
        try { document.body.innerHTML = '<b>x</b>'; done('nothing'); } catch (error) { /* the event comes */ }
    })""")
    assert "trusted-types" in broken, f"markup from text is refused by {broken}"
    page.troubles.clear()


CHECKS = [
    check_overview, check_brokers, check_topics, check_topic, check_records, check_odd_records, check_follow, check_groups, check_store, check_keyboard,
    check_contrast, check_pictures, check_inside,
]  # fmt: skip


def views(browser, folder):
    page = Page(browser, WIDE)
    with broker(folder / "views", "group.initial.rebalance.delay.ms=100") as (running, kafka, admin):
        fill(kafka)
        world = World(kafka, admin, page)
        for check in CHECKS:
            began = time.monotonic()
            try:
                check(world)
                print(f"       {check.__name__.removeprefix('check_')} {time.monotonic() - began:.1f} s", flush=True)
            except AssertionError as error:
                page.picture(PICTURES / "failed.png")
                raise AssertionError(f"{check.__name__.removeprefix('check_')}: {error}") from error
        world.open("topics")
        page.sees("orders")
        assert stop_broker(running) == 0
        page.sees("Not answering", selector="#state")
    page.close()
    return f"{len(CHECKS)} checks, {4 * len(VIEWS)} screenshots in {PICTURES.relative_to(ROOT)}"


def switched_off(browser, folder):
    page = Page(browser, NARROW)
    with broker(folder / "off", "floe.console.records=false") as (_, kafka, admin):
        create(kafka, [("orders", 1, {})])
        produce(kafka, "orders", [(0, "k", "a secret", None)])
        world = World(kafka, admin, page)
        world.open("records?topic=orders&partition=0")
        page.sees("floe.console.records is false")
        assert "secret" not in page.text("body")
    page.close()
    return "contents are not shown, and the page says why"


def full(name):
    if not os.environ.get("FLOE_TEST_FULL") and name not in sys.argv:
        raise Skip("only with FLOE_TEST_FULL=1, or by its name")


def cluster(browser, folder):
    full("cluster")
    need("etcd")
    page = Page(browser, WIDE)
    with process([program(), "dev", "cluster", "--port", "0", "--data", folder / "cluster"]) as (_, line):
        kafka, admins = re.search(r"bootstrap (\S+), admin (.+), etcd", line).groups()
        admins = admins.split()
        create(kafka, [("orders", 12, {})])
        produce(kafka, "orders", [(n % 12, "k", order(n), None) for n in range(240)])
        commit(kafka, "billing", {n: 10 for n in range(12)})
        world = World(kafka, admins[0], page)
        world.open("brokers")
        page.wait("document.querySelectorAll('tbody tr').length === 3 && document.body.innerText.split('listed').length === 4", "three brokers")
        page.wait("[...document.querySelectorAll('tbody tr td:nth-child(5)')].every((one) => Number(one.innerText) > 0)", "all lead something")
        page.picture(PICTURES / "cluster-brokers.png")
        # The same record by all brokers: one has it, the others name that one.
        told = []
        for admin in admins:
            world.admin = admin
            world.open("records?topic=orders&partition=5&from=start")
            told.append(page.wait("/20 records|led by another broker/.exec(document.querySelector('main').innerText)?.[0]"))
        assert sorted(told) == ["20 records"] + ["led by another broker"] * 2, told
        elsewhere = admins[told.index("led by another broker")]
        owner = admins.index(admins[told.index("20 records")]) + 1
        world.admin = elsewhere
        world.open("records?topic=orders&partition=5&from=start")
        page.sees(f"Ask broker {owner} (clients reach it at 127.0.0.1:")
        page.picture(PICTURES / "cluster-elsewhere.png")
        world.open("topic?name=orders")
        page.sees("led by other brokers", "Broker 1", "Broker 2", "Broker 3")
        page.picture(PICTURES / "cluster-topic.png")
        groups = []
        for admin in admins:
            world.admin = admin
            world.open("groups")
            page.sees("This broker coordinates the groups of")
            groups.append("billing" in page.text("table"))
        assert groups.count(True) == 1, f"a group is coordinated by one broker: {groups}"
        page.troubles.clear()
    page.close()
    return "three brokers; records and groups where they are, and who has them elsewhere"


FILLED = """
const looking = new MutationObserver(() => {
  if (document.querySelectorAll('tbody tr').length < 50) return;
  looking.disconnect();
  requestAnimationFrame(() => setTimeout(() => { window.filled = performance.now(); }));
});
looking.observe(document, { childList: true, subtree: true });
"""


def many(browser, folder):
    """Row F8: from navigation to the list of topics, painted, of 10,000 partitions."""
    full("many")
    said = []
    with broker(folder / "many") as (_, kafka, admin):
        said.append(f"one broker {listed(browser, kafka, admin)}")
    if shutil.which("etcd"):
        with process([program(), "dev", "cluster", "--port", "0", "--data", folder / "many-cluster"]) as (_, line):
            kafka, admin = re.search(r"bootstrap (\S+), admin (\S+) ", line).groups()
            said.append(f"one of three {listed(browser, kafka, admin)}")
    kind = program().parent.name
    return f"F8: {', '.join(said)} s (least, median, most of {RUNS}; {kind} build; 0.5 s wanted, goal 0.2 s)"


def listed(browser, kafka, admin):
    began = time.monotonic()
    for first in range(0, TOPICS, 250):
        create(kafka, [(f"topic-{n:04}", PARTITIONS // TOPICS, {}) for n in range(first, first + 250)])
    print(f"       {PARTITIONS:,} partitions created in {time.monotonic() - began:.1f} s", flush=True)
    took = []
    for _ in range(RUNS):
        page = Page(browser, WIDE)
        page.before(FILLED)
        page.go(f"{admin}/#/topics")
        took.append(page.wait("window.filled") / 1000)
        assert page.run("document.querySelector('.total').innerText") == f"{TOPICS:,}"
        page.close()
    return f"{min(took):.3f} / {statistics.median(took):.3f} / {max(took):.3f}"


def main():
    wanted = sys.argv[1:]
    folder = Path(tempfile.mkdtemp(prefix="floe-console-"))
    passed = failed = skipped = 0
    if not shutil.which("chromium"):
        print("SKIP   console: chromium is not here (Debian package chromium)")
        print("test result: ok. console: 0 passed; 0 failed; 1 skipped")
        return
    shutil.rmtree(PICTURES, ignore_errors=True)
    browser = Browser()
    try:
        for check in (views, switched_off, cluster, many):
            if wanted and check.__name__ not in wanted:
                continue
            began = time.monotonic()
            try:
                said = check(browser, folder)
                print(f"ok     {check.__name__} {time.monotonic() - began:.1f} s: {said}", flush=True)
                passed += 1
            except Skip as reason:
                print(f"SKIP   {check.__name__}: {reason}", flush=True)
                skipped += 1
            except AssertionError as error:
                print(f"FAILED {check.__name__}: {error}", flush=True)
                failed += 1
    finally:
        browser.close()
        shutil.rmtree(folder, ignore_errors=True)
    print(f"test result: {'FAILED' if failed else 'ok'}. console: {passed} passed; {failed} failed; {skipped} skipped")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
