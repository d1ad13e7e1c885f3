import java.time.Duration;
import java.util.*;
import java.util.concurrent.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.serialization.*;

/** kafka-clients: see worker.py. */
public class Restarts {
    static final int PARTITIONS = 10, PRODUCERS = 3, CONSUMERS = 5, PAUSE = 20;
    static final String TOPIC = System.getenv("FLOE_TOPIC");
    static volatile boolean producing = true, consuming = true;

    static synchronized void say(Object... words) {
        System.out.println(String.join(" ", Arrays.stream(words).map(String::valueOf).toList()));
    }

    static Properties settings() {
        Properties settings = new Properties();
        settings.put("bootstrap.servers", System.getenv("FLOE_BOOTSTRAP"));
        return settings;
    }

    static Void produce(int number) throws Exception {
        try (var producer = new KafkaProducer<>(settings(), new StringSerializer(), new StringSerializer())) {
            for (int n = 0; producing; n++) {
                String value = "p" + number + "-" + n;
                producer.send(new ProducerRecord<>(TOPIC, n % PARTITIONS, null, value), (sent, error) -> {
                    if (error == null) say("ack", value, sent.partition(), sent.offset());
                    else say("error", "producer", error);
                });
                Thread.sleep(PAUSE);
            }
        }
        return null;
    }

    static Void consume() {
        Properties settings = settings();
        settings.put("group.id", TOPIC + "-group");
        settings.put("auto.offset.reset", "earliest");
        try (var consumer = new KafkaConsumer<>(settings, new StringDeserializer(), new StringDeserializer())) {
            consumer.subscribe(List.of(TOPIC));
            while (consuming) {
                try {
                    for (var record : consumer.poll(Duration.ofMillis(100))) say("read", record.value(), record.partition(), record.offset());
                } catch (RuntimeException error) {
                    say("error", "consumer", error);
                }
            }
        }
        return null;
    }

    public static void main(String[] arguments) throws Exception {
        var threads = Executors.newCachedThreadPool();
        List<Future<Void>> producers = new ArrayList<>(), consumers = new ArrayList<>();
        for (int n = 0; n < CONSUMERS; n++) consumers.add(threads.submit(Restarts::consume));
        for (int n = 0; n < PRODUCERS; n++) {
            int number = n;
            producers.add(threads.submit(() -> produce(number)));
        }
        var main = Thread.currentThread();
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            consuming = false;
            try { main.join(60_000); } catch (InterruptedException error) { return; }
        }));
        while (System.in.read() >= 0) { }
        producing = false;
        for (var producer : producers) producer.get();
        say("produced");
        for (var consumer : consumers) consumer.get();
        threads.shutdown();
    }
}
