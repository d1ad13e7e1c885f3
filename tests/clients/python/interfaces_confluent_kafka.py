"""What user interfaces ask of a cluster, by confluent-kafka's AdminClient (librdkafka): lists, descriptions, offsets, settings, growth,
elections, and what a broker without security refuses. A call whose API may not be served yet is named in MISSING, and no other may fail.
"""

import os

import confluent_kafka
from confluent_kafka import ConsumerGroupTopicPartitions, ElectionType, IsolationLevel, KafkaError, KafkaException, Producer, TopicCollection, TopicPartition
from confluent_kafka.admin import (
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    OffsetSpec,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

BOOTSTRAP = os.environ.get("FLOE_BOOTSTRAP", "127.0.0.1:9092")
TOPIC = os.environ.get("FLOE_TOPIC", "interfaces")
GROUP = f"{TOPIC}-group"
PARTITIONS = 3
RECORDS = 30
MISSING = {"delete_records"}

admin = AdminClient({"bootstrap.servers": BOOTSTRAP})
done, missing = set(), set()


def get(what, future):
    result = future.result(timeout=30)
    done.add(what)
    return result


def one(what, futures):
    """The only answer of a call that answers for each thing asked about."""
    [future] = futures.values()
    return get(what, future)


def refused(what, future, code):
    try:
        future.result(timeout=30)
    except KafkaException as error:
        assert error.args[0].code() == code, f"{what} was refused as {error}"
        done.add(what)
    else:
        raise AssertionError(f"{what} was not refused")


def only(futures):
    [future] = futures.values()
    return future


def offsets(spec):
    asked = {TopicPartition(TOPIC, index): spec for index in range(PARTITIONS)}
    found = admin.list_offsets(asked, isolation_level=IsolationLevel.READ_UNCOMMITTED)
    return {partition.partition: get("list_offsets", future).offset for partition, future in found.items()}


def settings(kind, name):
    return one("describe_configs", admin.describe_configs([ConfigResource(kind, name)]))


def cluster():
    nodes = get("describe_cluster", admin.describe_cluster(include_authorized_operations=True))
    assert len(nodes.nodes) == 1 and nodes.controller.id == nodes.nodes[0].id and nodes.cluster_id
    assert settings(ResourceType.BROKER, str(nodes.controller.id))["message.max.bytes"].value == "1048588"
    anything = AclBindingFilter(ResourceType.ANY, None, ResourcePatternType.ANY, None, None, AclOperation.ANY, AclPermissionType.ANY)
    # The broker refuses with SECURITY_DISABLED, which this client shows as an empty list.
    assert get("describe_acls", admin.describe_acls(anything)) == []
    refused("delete_acls", only(admin.delete_acls([anything])), KafkaError.SECURITY_DISABLED)
    assert get("describe_user_scram_credentials", admin.describe_user_scram_credentials()) == {}
    upsertion = UserScramCredentialUpsertion("x", ScramCredentialInfo(ScramMechanism.SCRAM_SHA_256, 4096), b"secret")
    refused("alter_user_scram_credentials", only(admin.alter_user_scram_credentials([upsertion])), KafkaError.SECURITY_DISABLED)


def topics():
    assert len(admin.list_topics(timeout=30).topics[TOPIC].partitions) == PARTITIONS
    done.add("list_topics")
    described = one("describe_topics", admin.describe_topics(TopicCollection([TOPIC]), include_authorized_operations=True))
    assert len(described.partitions) == PARTITIONS and [len(p.isr) for p in described.partitions] == [1] * PARTITIONS
    assert sum(offsets(OffsetSpec.latest()).values()) == RECORDS
    assert set(offsets(OffsetSpec.earliest()).values()) == {0}
    assert all(offset >= 0 for offset in offsets(OffsetSpec.max_timestamp()).values())
    assert set(offsets(OffsetSpec.for_timestamp(0)).values()) == {0}
    before = settings(ResourceType.TOPIC, TOPIC)
    assert before["max.message.bytes"].is_default and "retention.ms" in before
    change = ConfigResource(ResourceType.TOPIC, TOPIC)
    change.add_incremental_config(ConfigEntry("max.message.bytes", "777777", incremental_operation=AlterConfigOpType.SET))
    change.add_incremental_config(ConfigEntry("cleanup.policy", "delete", incremental_operation=AlterConfigOpType.APPEND))
    one("incremental_alter_configs", admin.incremental_alter_configs([change]))
    assert settings(ResourceType.TOPIC, TOPIC)["max.message.bytes"].value == "777777"
    one("alter_configs", admin.alter_configs([ConfigResource(ResourceType.TOPIC, TOPIC, set_config={"compression.type": "zstd"})]))
    now = settings(ResourceType.TOPIC, TOPIC)
    assert now["compression.type"].value == "zstd" and now["max.message.bytes"].is_default
    bad = ConfigResource(ResourceType.TOPIC, TOPIC)
    bad.add_incremental_config(ConfigEntry("compression.type", "brotli", incremental_operation=AlterConfigOpType.SET))
    refused("incremental_alter_configs of nonsense", only(admin.incremental_alter_configs([bad])), KafkaError.INVALID_CONFIG)
    one("create_partitions", admin.create_partitions([NewPartitions(TOPIC, PARTITIONS + 1)]))
    assert len(admin.list_topics(timeout=30).topics[TOPIC].partitions) == PARTITIONS + 1
    elected = get("elect_leaders", admin.elect_leaders(ElectionType.PREFERRED, [TopicPartition(TOPIC, 0)]))
    assert [error.code() for error in elected.values()] == [KafkaError.ELECTION_NOT_NEEDED]
    try:
        deleted = one("delete_records", admin.delete_records([TopicPartition(TOPIC, 0, 5)]))
        assert deleted.low_watermark == 5 and offsets(OffsetSpec.earliest())[0] == 5
    except KafkaException as error:
        assert error.args[0].code() == KafkaError._UNSUPPORTED_FEATURE and "delete_records" in MISSING, error
        missing.add("delete_records")


def groups():
    moved = ConsumerGroupTopicPartitions(GROUP, [TopicPartition(TOPIC, index, 2) for index in range(PARTITIONS)])
    one("alter_consumer_group_offsets", admin.alter_consumer_group_offsets([moved]))
    assert GROUP in {group.group_id for group in get("list_consumer_groups", admin.list_consumer_groups()).valid}
    described = one("describe_consumer_groups", admin.describe_consumer_groups([GROUP]))
    assert described.members == []
    found = one("list_consumer_group_offsets", admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(GROUP)]))
    assert {p.partition: p.offset for p in found.topic_partitions} == {index: 2 for index in range(PARTITIONS)}
    one("delete_consumer_groups", admin.delete_consumer_groups([GROUP]))


for future in admin.create_topics([NewTopic(TOPIC, PARTITIONS, 1), NewTopic(f"{TOPIC}-other", 1, 1)]).values():
    get("create_topics", future)
producer = Producer({"bootstrap.servers": BOOTSTRAP})
for n in range(RECORDS):
    producer.produce(TOPIC, f"value-{n}", partition=n % PARTITIONS)
assert producer.flush(30) == 0
cluster()
groups()
topics()
for future in admin.delete_topics([TOPIC, f"{TOPIC}-other"]).values():
    get("delete_topics", future)
rest = f"; not served yet: {', '.join(sorted(missing))}" if missing else ""
print(f"confluent-kafka {confluent_kafka.__version__}, librdkafka {confluent_kafka.libversion()[0]}: {len(done)} calls of user interfaces{rest}")
