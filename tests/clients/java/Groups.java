import java.time.Duration;
import java.util.*;
import java.util.concurrent.*;
import java.util.function.BooleanSupplier;
import java.util.regex.Pattern;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.*;
import org.apache.kafka.common.utils.AppInfoParser;

/** kafka-clients in groups: eager and cooperative assignors, static restarts, members that fall silent or crash, commits, a pattern, pause, seek, administration. */
public class Groups {
    static final int PARTITIONS = 6;
    static final int EACH = 20;
    static String bootstrap;
    static String topic;

    static void check(boolean good, String what) {
        if (!good) throw new AssertionError(what);
    }

    static void until(String what, BooleanSupplier done) throws InterruptedException {
        long end = System.nanoTime() + Duration.ofSeconds(60).toNanos();
        while (!done.getAsBoolean()) {
            check(System.nanoTime() < end, "not in time: " + what);
            Thread.sleep(20);
        }
    }

    /** A consumer on a thread of its own: a poll that joins waits for the other members. */
    static class Member extends Thread implements ConsumerRebalanceListener {
        final KafkaConsumer<String, String> consumer;
        final List<String> seen = new CopyOnWriteArrayList<>();
        final Set<Integer> owned = new ConcurrentSkipListSet<>();
        final Set<Integer> revoked = new ConcurrentSkipListSet<>();
        volatile boolean ends, silent;
        volatile Throwable failed;

        Member(String group, Map<String, String> own) {
            Properties settings = new Properties();
            settings.put("bootstrap.servers", bootstrap);
            settings.put("group.id", group);
            settings.put("auto.offset.reset", "earliest");
            settings.put("enable.auto.commit", "false");
            settings.put("session.timeout.ms", "3000");
            settings.put("heartbeat.interval.ms", "300");
            settings.putAll(own);
            consumer = new KafkaConsumer<>(settings, new StringDeserializer(), new StringDeserializer());
            consumer.subscribe(List.of(topic), this);
            // One that hangs does not keep the others from being heard of.
            setDaemon(true);
            start();
        }

        @Override public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
            consumer.commitSync();
            for (var partition : partitions) { owned.remove(partition.partition()); revoked.add(partition.partition()); }
        }

        @Override public void onPartitionsAssigned(Collection<TopicPartition> partitions) {
            for (var partition : partitions) owned.add(partition.partition());
        }

        @Override public void onPartitionsLost(Collection<TopicPartition> partitions) { owned.clear(); }

        @Override public void run() {
            try {
                while (!ends) {
                    if (silent) { Thread.sleep(50); continue; }
                    for (var record : consumer.poll(Duration.ofMillis(100))) seen.add(record.partition() + ":" + record.offset());
                }
                consumer.close();
            } catch (Throwable error) {
                failed = error;
            }
        }

        void end() throws Exception {
            ends = true;
            join(60_000);
            check(!isAlive() && failed == null, "a member failed: " + failed);
        }
    }

    static void share(Member... members) throws InterruptedException {
        until(members.length + " members share the topic", () -> {
            Set<Integer> all = new TreeSet<>();
            int parts = 0;
            for (var member : members) {
                check(member.failed == null, "a member failed: " + member.failed);
                if (member.owned.isEmpty()) return false;
                parts += member.owned.size();
                all.addAll(member.owned);
            }
            return parts == PARTITIONS && all.size() == PARTITIONS;
        });
    }

    static void lives(String name, Map<String, String> own, boolean cooperative) throws Exception {
        String group = topic + "-" + name;
        var first = new Member(group, own);
        until("all records", () -> first.seen.size() >= PARTITIONS * EACH);
        check(new TreeSet<>(first.seen).size() == PARTITIONS * EACH && first.seen.size() == PARTITIONS * EACH, "every record once");
        var second = new Member(group, own);
        share(first, second);
        if (cooperative) check(first.revoked.equals(second.owned), "only what moves is revoked: " + first.revoked);
        second.end();
        share(first);
        // It goes on beating in the background, and does not poll: its time to join again runs out.
        Map<String, String> slow = new HashMap<>(own);
        slow.put("max.poll.interval.ms", "3000");
        var third = new Member(group, slow);
        share(first, third);
        third.silent = true;
        share(first);
        third.silent = false;
        share(first, third);
        third.end();
        crash(group, own, first);
        first.end();
        check(first.seen.size() == PARTITIONS * EACH && second.seen.isEmpty() && third.seen.isEmpty(), "what was committed is not read again");
    }

    /** Another process joins and is killed: its partitions come back after its session. */
    static void crash(String group, Map<String, String> own, Member first) throws Exception {
        var java = ProcessHandle.current().info().command().orElse("java");
        var strategy = own.get("partition.assignment.strategy");
        var command = List.of(java, "-cp", System.getProperty("java.class.path"), "Groups", "member", group, strategy);
        var process = new ProcessBuilder(command).redirectError(ProcessBuilder.Redirect.INHERIT).start();
        check("assigned".equals(process.inputReader().readLine()), "the member in a process of its own got nothing");
        until("the other process has a part", () -> first.owned.size() == PARTITIONS / 2);
        process.destroyForcibly().waitFor();
        share(first);
    }

    static void patternPauseSeek(KafkaProducer<String, String> producer) throws Exception {
        Properties settings = new Properties();
        settings.put("bootstrap.servers", bootstrap);
        settings.put("group.id", topic + "-pattern");
        settings.put("auto.offset.reset", "earliest");
        try (var consumer = new KafkaConsumer<>(settings, new StringDeserializer(), new StringDeserializer())) {
            consumer.subscribe(Pattern.compile(Pattern.quote(topic)));
            var seen = new ArrayList<String>();
            BooleanSupplier poll = () -> {
                for (var record : consumer.poll(Duration.ofMillis(100))) seen.add(record.partition() + ":" + record.offset());
                return true;
            };
            until("all records", () -> poll.getAsBoolean() && seen.size() == PARTITIONS * EACH);
            var paused = List.of(new TopicPartition(topic, 0));
            consumer.pause(paused);
            for (int p = 0; p < PARTITIONS; p++) producer.send(new ProducerRecord<>(topic, p, null, "more")).get();
            seen.clear();
            until("all but what is paused", () -> poll.getAsBoolean() && seen.size() == PARTITIONS - 1);
            poll.getAsBoolean();
            check(seen.size() == PARTITIONS - 1 && !seen.contains("0:" + EACH), "a paused partition is not read: " + seen);
            consumer.resume(paused);
            until("what was paused", () -> poll.getAsBoolean() && seen.contains("0:" + EACH));
            seen.clear();
            consumer.seek(new TopicPartition(topic, 3), EACH - 1);
            until("what was sought", () -> poll.getAsBoolean() && seen.size() == 2);
            check(seen.equals(List.of("3:" + (EACH - 1), "3:" + EACH)), "from where it was sought: " + seen);
        }
    }

    static void statics(Map<String, String> own) throws Exception {
        String group = topic + "-static";
        Map<String, String> one = new HashMap<>(own), two = new HashMap<>(own);
        one.put("group.instance.id", "one");
        two.put("group.instance.id", "two");
        one.put("session.timeout.ms", "20000");
        two.put("session.timeout.ms", "20000");
        var first = new Member(group, one);
        share(first);
        var second = new Member(group, two);
        share(first, second);
        first.revoked.clear();
        var before = new TreeSet<>(second.owned);
        second.end();
        var back = new Member(group, two);
        share(first, back);
        check(back.owned.equals(before) && first.revoked.isEmpty(), "a static member comes back without a rebalance");
        back.end();
        // The leader as well (KIP-814).
        before = new TreeSet<>(first.owned);
        first.end();
        var leader = new Member(group, one);
        until("the leader is back", () -> leader.owned.size() == PARTITIONS / 2);
        check(leader.owned.equals(before), "with what it had");
        leader.end();
    }

    static void administer(Admin admin, String group) throws Exception {
        check(admin.listGroups().all().get().stream().anyMatch(g -> g.groupId().equals(group)), "listed");
        var described = admin.describeClassicGroups(List.of(group)).all().get().get(group);
        check(described.state().toString().equals("Empty"), "described: " + described);
        var partition = new TopicPartition(topic, 0);
        admin.alterConsumerGroupOffsets(group, Map.of(partition, new OffsetAndMetadata(7, Optional.of(1), "note"))).all().get();
        var found = admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get().get(partition);
        check(found.offset() == 7 && found.metadata().equals("note"), "offsets: " + found);
        admin.deleteConsumerGroupOffsets(group, Set.of(partition)).all().get();
        check(!admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get().containsKey(partition), "deleted offset");
        admin.deleteConsumerGroups(List.of(group)).all().get();
        check(admin.listGroups().all().get().stream().noneMatch(g -> g.groupId().equals(group)), "deleted");
    }

    public static void main(String[] arguments) throws Exception {
        bootstrap = System.getenv().getOrDefault("FLOE_BOOTSTRAP", "127.0.0.1:9092");
        topic = System.getenv().getOrDefault("FLOE_TOPIC", "groups");
        if (arguments.length == 3) {
            // To be killed by whoever started it, once it has partitions.
            var member = new Member(arguments[1], Map.of("partition.assignment.strategy", arguments[2]));
            until("the member has partitions", () -> !member.owned.isEmpty());
            System.out.println("assigned");
            member.join();
        }
        Properties settings = new Properties();
        settings.put("bootstrap.servers", bootstrap);
        try (Admin admin = Admin.create(settings); var producer = new KafkaProducer<>(settings, new StringSerializer(), new StringSerializer())) {
            admin.createTopics(List.of(new NewTopic(topic, PARTITIONS, (short) 1))).all().get();
            for (int n = 0; n < PARTITIONS * EACH; n++) producer.send(new ProducerRecord<>(topic, n % PARTITIONS, null, "value-" + n)).get();
            var eager = Map.of("partition.assignment.strategy", "org.apache.kafka.clients.consumer.RangeAssignor");
            var cooperative = Map.of("partition.assignment.strategy", "org.apache.kafka.clients.consumer.CooperativeStickyAssignor");
            // Each has a group of its own, and waits most of its time.
            var threads = Executors.newCachedThreadPool(run -> {
                var thread = new Thread(run);
                thread.setDaemon(true);
                return thread;
            });
            List<Callable<Void>> parts = List.of(
                () -> { lives("eager", eager, false); return null; },
                () -> { lives("cooperative", cooperative, true); return null; },
                () -> { statics(eager); return null; });
            for (var part : threads.invokeAll(parts)) part.get();
            administer(admin, topic + "-eager");
            patternPauseSeek(producer);
        }
        System.out.println("kafka-clients " + AppInfoParser.getVersion() + ": eager, cooperative, leave, crash, slow, static, a pattern, pause, seek, administration");
    }
}
