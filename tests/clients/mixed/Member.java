import java.time.Duration;
import java.util.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.common.errors.WakeupException;
import org.apache.kafka.common.serialization.StringDeserializer;

/** A member of a group, by kafka-clients of any version: says what it reads until it is told to end. */
public class Member {
    public static void main(String[] arguments) throws Exception {
        var environment = System.getenv();
        Properties settings = new Properties();
        settings.put("bootstrap.servers", environment.get("FLOE_BOOTSTRAP"));
        settings.put("group.id", environment.get("FLOE_GROUP"));
        settings.put("client.id", environment.get("FLOE_NAME"));
        settings.put("auto.offset.reset", "earliest");
        settings.put("auto.commit.interval.ms", "500");
        settings.put("session.timeout.ms", "6000");
        settings.put("heartbeat.interval.ms", "500");
        settings.put("partition.assignment.strategy", "org.apache.kafka.clients.consumer.RoundRobinAssignor");
        var consumer = new KafkaConsumer<>(settings, new StringDeserializer(), new StringDeserializer());
        var main = Thread.currentThread();
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            consumer.wakeup();
            try { main.join(30_000); } catch (InterruptedException error) { return; }
        }));
        try {
            consumer.subscribe(List.of(environment.get("FLOE_TOPIC")));
            while (true)
                for (var record : consumer.poll(Duration.ofMillis(200)))
                    System.out.println(record.partition() + " " + record.offset() + " " + record.value());
        } catch (WakeupException told) {
            consumer.close();
        }
    }
}
