import java.time.Duration;
import java.util.*;
import java.util.concurrent.ExecutionException;
import java.util.stream.*;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.*;
import org.apache.kafka.common.acl.*;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.*;
import org.apache.kafka.common.quota.*;
import org.apache.kafka.common.resource.*;
import org.apache.kafka.common.serialization.*;
import org.apache.kafka.common.utils.AppInfoParser;

/**
 * What user interfaces ask of a cluster, call by call, by kafka-clients' Admin: AKHQ, kafka-ui (ReactiveAdminClient) and Redpanda Console.
 * A call that may be refused must be refused as Kafka refuses it; only what is named in MISSING may be missing.
 */
public class Interfaces {
    /** Calls whose API may not be served yet. */
    static final Set<String> MISSING = Set.of("deleteRecords", "listTransactions");
    static final int PARTITIONS = 3;
    static final int RECORDS = 30;
    static final Set<String> missing = new TreeSet<>();
    static final Set<String> done = new TreeSet<>();
    static Admin admin;
    static String topic;

    static void check(boolean good, String what) {
        if (!good) throw new AssertionError(what);
    }

    static <T> T get(String what, KafkaFuture<T> future) throws Exception {
        try {
            T result = future.get();
            done.add(what);
            return result;
        } catch (ExecutionException error) {
            throw new AssertionError(what, error.getCause());
        }
    }

    /** A call that is refused, as Kafka refuses it. */
    static void refused(String what, KafkaFuture<?> future, Class<? extends Exception> expected) throws Exception {
        try {
            future.get();
        } catch (ExecutionException error) {
            check(expected.isInstance(error.getCause()), what + " was refused as " + error.getCause());
            done.add(what);
            return;
        }
        throw new AssertionError(what + " was not refused as " + expected.getSimpleName());
    }

    /** A call that works, or whose API is not advertised. False if it is not. */
    static boolean optional(String what, KafkaFuture<?> future) throws Exception {
        try {
            future.get();
            done.add(what);
            return true;
        } catch (ExecutionException error) {
            check(error.getCause() instanceof UnsupportedVersionException && MISSING.contains(what), what + ": " + error.getCause());
            missing.add(what);
            return false;
        }
    }

    static Map<String, ConfigEntry> configs(ConfigResource.Type type, String name) throws Exception {
        var resource = new ConfigResource(type, name);
        var options = new DescribeConfigsOptions().includeSynonyms(true).includeDocumentation(true);
        var config = get("describeConfigs", admin.describeConfigs(List.of(resource), options).all()).get(resource);
        return config.entries().stream().collect(Collectors.toMap(ConfigEntry::name, entry -> entry));
    }

    static List<TopicPartition> partitions(int count) {
        return IntStream.range(0, count).mapToObj(index -> new TopicPartition(topic, index)).toList();
    }

    static Map<TopicPartition, Long> offsets(OffsetSpec spec) throws Exception {
        var asked = partitions(PARTITIONS).stream().collect(Collectors.toMap(p -> p, p -> spec));
        var options = new ListOffsetsOptions(IsolationLevel.READ_UNCOMMITTED);
        var found = get("listOffsets", admin.listOffsets(asked, options).all());
        return found.entrySet().stream().collect(Collectors.toMap(Map.Entry::getKey, entry -> entry.getValue().offset()));
    }

    /** Cluster pages of all three: nodes, controller, versions, settings of brokers, disks, quorum, security. */
    static void cluster() throws Exception {
        var cluster = admin.describeCluster(new DescribeClusterOptions().includeAuthorizedOperations(true));
        var nodes = get("describeCluster", cluster.nodes());
        int node = cluster.controller().get().id();
        check(nodes.size() == 1 && nodes.iterator().next().id() == node, "one broker, which is the controller");
        check(!cluster.clusterId().get().isEmpty() && !cluster.authorizedOperations().get().isEmpty(), "id and operations");
        // kafka-ui: the version of the cluster by its features, else by a setting of the controller.
        var features = get("describeFeatures", admin.describeFeatures().featureMetadata());
        check(features.finalizedFeatures().get("metadata.version").maxVersionLevel() == 27, "Kafka 4.1: " + features);
        check(features.finalizedFeaturesEpoch().orElse(-1L) >= 0, "an epoch");
        var settings = configs(ConfigResource.Type.BROKER, String.valueOf(node));
        check(settings.get("message.max.bytes").value().equals("1048588"), "a broker's setting");
        check(settings.values().stream().allMatch(entry -> entry.documentation() != null && entry.type() != null), "documented");
        check(configs(ConfigResource.Type.BROKER, "").values().stream().noneMatch(ConfigEntry::isDefault), "cluster-wide settings are dynamic");
        var places = get("describeLogDirs", admin.describeLogDirs(List.of(node)).allDescriptions()).get(node);
        check(places.keySet().equals(Set.of("wal", "store", "cache")), "places: " + places.keySet());
        long bytes = places.values().stream().flatMap(place -> place.replicaInfos().entrySet().stream())
            .filter(entry -> entry.getKey().topic().equals(topic)).mapToLong(entry -> entry.getValue().size()).sum();
        check(bytes > RECORDS, "bytes of the topic: " + bytes);
        var quorum = get("describeMetadataQuorum", admin.describeMetadataQuorum().quorumInfo());
        check(quorum.leaderId() == node && quorum.voters().size() == 1 && quorum.highWatermark() > 0, "quorum: " + quorum);
        var resources = get("listConfigResources", admin.listConfigResources().all());
        check(resources.contains(new ConfigResource(ConfigResource.Type.TOPIC, topic)), "listed");
        check(get("listConfigResources", admin.listConfigResources(Set.of(ConfigResource.Type.BROKER), new ListConfigResourcesOptions()).all()).size() == 1, "brokers");
        refused("describeAcls", admin.describeAcls(AclBindingFilter.ANY).values(), SecurityDisabledException.class);
        var acl = new AclBinding(new ResourcePattern(ResourceType.TOPIC, topic, PatternType.LITERAL),
            new AccessControlEntry("User:x", "*", AclOperation.READ, AclPermissionType.ALLOW));
        refused("createAcls", admin.createAcls(List.of(acl)).all(), SecurityDisabledException.class);
        refused("deleteAcls", admin.deleteAcls(List.of(acl.toFilter())).all(), SecurityDisabledException.class);
        check(get("describeClientQuotas", admin.describeClientQuotas(ClientQuotaFilter.all()).entities()).isEmpty(), "no quotas");
        var quota = new ClientQuotaAlteration(new ClientQuotaEntity(Map.of("client-id", "x")), List.of(new ClientQuotaAlteration.Op("producer_byte_rate", 1e6)));
        refused("alterClientQuotas", admin.alterClientQuotas(List.of(quota)).all(), PolicyViolationException.class);
        check(get("describeUserScramCredentials", admin.describeUserScramCredentials().all()).isEmpty(), "no users");
        var credential = new UserScramCredentialUpsertion("x", new ScramCredentialInfo(ScramMechanism.SCRAM_SHA_256, 4096), "secret");
        refused("alterUserScramCredentials", admin.alterUserScramCredentials(List.of(credential)).all(), SecurityDisabledException.class);
        refused("describeDelegationToken", admin.describeDelegationToken().delegationTokens(), UnsupportedByAuthenticationException.class);
    }

    /** Topic pages: lists, partitions, settings, sizes, offsets, producers; creating, changing, growing, emptying, deleting. */
    static void topics() throws Exception {
        check(get("listTopics", admin.listTopics(new ListTopicsOptions().listInternal(true)).names()).contains(topic), "listed");
        var options = new DescribeTopicsOptions().includeAuthorizedOperations(true).partitionSizeLimitPerResponse(2);
        var described = get("describeTopics", admin.describeTopics(TopicCollection.ofTopicNames(List.of(topic)), options).allTopicNames()).get(topic);
        check(described.partitions().size() == PARTITIONS && described.partitions().get(2).isr().size() == 1, "in pages of two: " + described);
        var byId = get("describeTopics by id", admin.describeTopics(TopicCollection.ofTopicIds(List.of(described.topicId()))).allTopicIds());
        check(byId.get(described.topicId()).name().equals(topic), "by id");
        refused("describeTopics of none", admin.describeTopics(List.of(topic + "-none")).allTopicNames(), UnknownTopicOrPartitionException.class);
        check(offsets(OffsetSpec.latest()).values().stream().mapToLong(Long::longValue).sum() == RECORDS, "latest");
        check(offsets(OffsetSpec.earliest()).values().stream().allMatch(offset -> offset == 0), "earliest");
        check(offsets(OffsetSpec.maxTimestamp()).values().stream().allMatch(offset -> offset >= 0), "maxTimestamp");
        check(offsets(OffsetSpec.forTimestamp(0)).values().stream().allMatch(offset -> offset == 0), "forTimestamp");
        var producers = get("describeProducers", admin.describeProducers(partitions(PARTITIONS)).all());
        check(producers.values().stream().allMatch(state -> state.activeProducers().size() == 1), "the producer of each partition: " + producers);
        optional("listTransactions", admin.listTransactions().all());
        settings();
        get("createPartitions", admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(PARTITIONS + 1))).all());
        check(admin.describeTopics(List.of(topic)).allTopicNames().get().get(topic).partitions().size() == PARTITIONS + 1, "grown");
        refused("createPartitions of fewer", admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(1))).all(), InvalidPartitionsException.class);
        var first = new TopicPartition(topic, 0);
        if (optional("deleteRecords", admin.deleteRecords(Map.of(first, RecordsToDelete.beforeOffset(5))).all())) {
            check(offsets(OffsetSpec.earliest()).get(first) == 5, "deleted below 5");
        }
        check(get("listPartitionReassignments", admin.listPartitionReassignments().reassignments()).isEmpty(), "nothing moves");
        get("alterPartitionReassignments", admin.alterPartitionReassignments(Map.of(first, Optional.of(new NewPartitionReassignment(List.of(0))))).all());
        refused("alterPartitionReassignments to none", admin.alterPartitionReassignments(Map.of(first, Optional.of(new NewPartitionReassignment(List.of(0, 1))))).all(),
            InvalidReplicaAssignmentException.class);
        refused("alterPartitionReassignments cancelled", admin.alterPartitionReassignments(Map.of(first, Optional.empty())).all(), NoReassignmentInProgressException.class);
        check(get("electLeaders of all", admin.electLeaders(ElectionType.PREFERRED, null).partitions()).isEmpty(), "none was needed");
        var elected = get("electLeaders", admin.electLeaders(ElectionType.UNCLEAN, Set.of(first)).partitions()).get(first);
        check(elected.orElseThrow() instanceof ElectionNotNeededException, "elected: " + elected);
    }

    /** The settings page: shown with types and origins, changed one by one, put back. */
    static void settings() throws Exception {
        var resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
        var before = configs(ConfigResource.Type.TOPIC, topic);
        check(before.containsKey("retention.ms") && before.containsKey("cleanup.policy") && before.containsKey("min.insync.replicas"), "all are listed");
        check(before.get("max.message.bytes").isDefault() && before.get("max.message.bytes").type() == ConfigEntry.ConfigType.INT, "typed");
        var set = List.of(
            new AlterConfigOp(new ConfigEntry("max.message.bytes", "777777"), AlterConfigOp.OpType.SET),
            new AlterConfigOp(new ConfigEntry("cleanup.policy", "delete"), AlterConfigOp.OpType.APPEND));
        get("incrementalAlterConfigs", admin.incrementalAlterConfigs(Map.of(resource, set), new AlterConfigsOptions().validateOnly(true)).all());
        check(configs(ConfigResource.Type.TOPIC, topic).get("max.message.bytes").isDefault(), "only validated");
        get("incrementalAlterConfigs", admin.incrementalAlterConfigs(Map.of(resource, set)).all());
        var now = configs(ConfigResource.Type.TOPIC, topic).get("max.message.bytes");
        check(now.value().equals("777777") && now.source() == ConfigEntry.ConfigSource.DYNAMIC_TOPIC_CONFIG && now.synonyms().size() == 2, "set: " + now);
        var back = List.of(new AlterConfigOp(new ConfigEntry("max.message.bytes", ""), AlterConfigOp.OpType.DELETE));
        get("incrementalAlterConfigs", admin.incrementalAlterConfigs(Map.of(resource, back)).all());
        check(configs(ConfigResource.Type.TOPIC, topic).get("max.message.bytes").isDefault(), "put back");
        var bad = List.of(new AlterConfigOp(new ConfigEntry("compression.type", "brotli"), AlterConfigOp.OpType.SET));
        refused("incrementalAlterConfigs of nonsense", admin.incrementalAlterConfigs(Map.of(resource, bad)).all(), InvalidConfigurationException.class);
    }

    /** Consumer pages: groups, members, lag; offsets moved and removed. */
    static void groups(String bootstrap) throws Exception {
        String group = topic + "-group";
        var settings = new Properties();
        settings.put("bootstrap.servers", bootstrap);
        settings.put("group.id", group);
        settings.put("auto.offset.reset", "earliest");
        try (var consumer = new KafkaConsumer<>(settings, new StringDeserializer(), new StringDeserializer())) {
            consumer.subscribe(List.of(topic));
            int seen = 0;
            for (int turn = 0; seen < RECORDS && turn < 600; turn++) seen += consumer.poll(Duration.ofMillis(100)).count();
            check(seen == RECORDS, "consumed " + seen);
            consumer.commitSync();
            check(get("listConsumerGroups", admin.listConsumerGroups().all()).stream().anyMatch(g -> g.groupId().equals(group)), "listed");
            var described = get("describeConsumerGroups", admin.describeConsumerGroups(List.of(group)).all()).get(group);
            check(described.members().size() == 1 && described.groupState() == GroupState.STABLE, "a member: " + described);
        }
        var offsets = get("listConsumerGroupOffsets", admin.listConsumerGroupOffsets(Map.of(group, new ListConsumerGroupOffsetsSpec())).all()).get(group);
        check(offsets.values().stream().mapToLong(OffsetAndMetadata::offset).sum() == RECORDS, "no lag: " + offsets);
        var first = new TopicPartition(topic, 0);
        get("alterConsumerGroupOffsets", admin.alterConsumerGroupOffsets(group, Map.of(first, new OffsetAndMetadata(1))).all());
        get("deleteConsumerGroupOffsets", admin.deleteConsumerGroupOffsets(group, Set.of(first)).all());
        get("deleteConsumerGroups", admin.deleteConsumerGroups(List.of(group)).all());
    }

    public static void main(String[] arguments) throws Exception {
        String bootstrap = System.getenv().getOrDefault("FLOE_BOOTSTRAP", "127.0.0.1:9092");
        topic = System.getenv().getOrDefault("FLOE_TOPIC", "interfaces");
        var settings = new Properties();
        settings.put("bootstrap.servers", bootstrap);
        settings.put("default.api.timeout.ms", "30000");
        try (var client = Admin.create(settings); var producer = new KafkaProducer<>(settings, new StringSerializer(), new StringSerializer())) {
            admin = client;
            var created = admin.createTopics(List.of(new NewTopic(topic, PARTITIONS, (short) 1), new NewTopic(topic + "-other", 1, (short) 1)));
            get("createTopics", created.all());
            check(created.config(topic).get().get("compression.type") != null, "created with its settings");
            for (int n = 0; n < RECORDS; n++) producer.send(new ProducerRecord<>(topic, n % PARTITIONS, null, "value-" + n)).get();
            cluster();
            groups(bootstrap);
            topics();
            get("deleteTopics", admin.deleteTopics(List.of(topic, topic + "-other")).all());
        }
        var rest = missing.isEmpty() ? "" : "; not served yet: " + String.join(", ", missing);
        System.out.println("kafka-clients " + AppInfoParser.getVersion() + ": " + done.size() + " calls of AKHQ, kafka-ui and Redpanda Console" + rest);
    }
}
