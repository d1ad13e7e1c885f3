import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.*;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.serialization.*;
import org.apache.kafka.common.utils.AppInfoParser;

/** kafka-clients, the reference: admin, idempotent producer with its defaults, consumer by assignment. */
public class Smoke {
    static final int COUNT = 60;
    static final long START = 1_790_000_000_000L;
    static final List<String> CODECS = List.of("none", "gzip", "snappy", "lz4", "zstd");

    static Properties settings(String bootstrap) {
        Properties settings = new Properties();
        settings.put("bootstrap.servers", bootstrap);
        settings.put("default.api.timeout.ms", "30000");
        settings.put("request.timeout.ms", "20000");
        return settings;
    }

    static void check(boolean good, String what) {
        if (!good) throw new AssertionError(what);
    }

    static String key(int n) { return n % 5 == 4 ? null : "key-" + n; }

    static String value(int n) { return n == 7 ? null : ("value-" + n + " ").repeat(n == 11 ? 20_000 : 10); }

    static void produce(String bootstrap, String topic, String codec) throws Exception {
        Properties settings = settings(bootstrap);
        settings.put("compression.type", codec);
        settings.put("linger.ms", "20");
        try (var producer = new KafkaProducer<>(settings, new StringSerializer(), new StringSerializer())) {
            List<Future<RecordMetadata>> sent = new ArrayList<>();
            for (int n = 0; n < COUNT; n++) {
                var record = new ProducerRecord<>(topic, 0, START + n * 1000L, key(n), value(n));
                record.headers().add("trace", "one".getBytes(StandardCharsets.UTF_8)).add("trace", "two".getBytes(StandardCharsets.UTF_8));
                record.headers().add("empty", null);
                sent.add(producer.send(record));
            }
            for (int n = 0; n < COUNT; n++) check(sent.get(n).get(60, TimeUnit.SECONDS).offset() == n, codec + ": offset of " + n);
        }
    }

    static List<ConsumerRecord<String, String>> poll(Consumer<String, String> consumer, int count) {
        List<ConsumerRecord<String, String>> got = new ArrayList<>();
        while (got.size() < count) {
            var batch = consumer.poll(Duration.ofSeconds(30));
            check(!batch.isEmpty(), "nothing after " + got.size() + " records");
            batch.forEach(got::add);
        }
        return got;
    }

    static void consume(String bootstrap, String topic, String codec) {
        Properties settings = settings(bootstrap);
        settings.put("enable.auto.commit", "false");
        settings.put("auto.offset.reset", "none");
        settings.put("isolation.level", "read_committed");
        try (var consumer = new KafkaConsumer<>(settings, new StringDeserializer(), new StringDeserializer())) {
            var partition = new TopicPartition(topic, 0);
            consumer.assign(List.of(partition));
            consumer.seekToBeginning(List.of(partition));
            var got = poll(consumer, COUNT);
            check(got.size() == COUNT, codec + ": " + got.size() + " records");
            for (int n = 0; n < COUNT; n++) {
                var record = got.get(n);
                boolean same = record.offset() == n && Objects.equals(record.key(), key(n)) && Objects.equals(record.value(), value(n));
                check(same && record.timestamp() == START + n * 1000L, codec + ": another record at " + n + ": " + record);
                List<String> headers = new ArrayList<>();
                for (Header header : record.headers()) headers.add(header.key() + "=" + (header.value() == null ? null : new String(header.value(), StandardCharsets.UTF_8)));
                check(headers.equals(List.of("trace=one", "trace=two", "empty=null")), codec + ": headers " + headers);
            }
            consumer.seek(partition, 20);
            check(poll(consumer, 1).get(0).offset() == 20, codec + ": seek");
            var found = consumer.offsetsForTimes(Map.of(partition, START + 29_500)).get(partition);
            check(found.offset() == 30 && found.timestamp() == START + 30_000, codec + ": by time " + found);
            check(consumer.offsetsForTimes(Map.of(partition, START + 3_600_000)).get(partition) == null, codec + ": nothing so late");
            check(consumer.endOffsets(List.of(partition)).get(partition) == COUNT, codec + ": end");
        }
    }

    public static void main(String[] arguments) throws Exception {
        String bootstrap = System.getenv().getOrDefault("FLOE_BOOTSTRAP", "127.0.0.1:9092");
        String topic = System.getenv().getOrDefault("FLOE_TOPIC", "smoke");
        try (Admin admin = Admin.create(settings(bootstrap))) {
            List<NewTopic> topics = new ArrayList<>();
            for (String codec : CODECS) topics.add(new NewTopic(topic + "-" + codec, 2, (short) 1));
            admin.createTopics(topics).all().get();
            check(admin.listTopics().names().get().contains(topic + "-none"), "listed");
            check(admin.describeCluster().nodes().get().size() == 1, "one node");
            var resource = new ConfigResource(ConfigResource.Type.TOPIC, topic + "-none");
            check(admin.describeConfigs(List.of(resource)).all().get().get(resource).get("compression.type") != null, "configs");
            for (String codec : CODECS) {
                produce(bootstrap, topic + "-" + codec, codec);
                consume(bootstrap, topic + "-" + codec, codec);
                var partition = new TopicPartition(topic + "-" + codec, 0);
                var latest = admin.listOffsets(Map.of(partition, OffsetSpec.maxTimestamp())).partitionResult(partition).get();
                check(latest.offset() == COUNT - 1, codec + ": offset of the greatest timestamp " + latest.offset());
            }
            admin.deleteTopics(List.of(topic + "-none")).all().get();
        }
        System.out.println("kafka-clients " + AppInfoParser.getVersion() + ": " + CODECS.size() + " codecs");
    }
}
