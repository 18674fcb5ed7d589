package org.apache.kafka.connect.runtime.distributed;

import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.TreeMap;
import java.util.function.Supplier;

import org.apache.kafka.common.utils.LogContext;
import org.apache.kafka.common.utils.Time;
import org.apache.kafka.connect.runtime.distributed.WorkerCoordinator.ConnectorsAndTasks;
import org.apache.kafka.connect.storage.ClusterConfigState;
import org.apache.kafka.connect.util.ConnectorTaskId;

/**
 * Plays random stories of a worker group with Java's incremental assignor and prints what
 * happened and what it answered, for random.txt. It stands in the assignor's package to
 * reach it. To record again, with the jars of a Connect worker in the directory jars:
 *
 *   javac -cp 'jars/*' -d . Rounds.java
 *   java -cp '.:jars/*' org.apache.kafka.connect.runtime.distributed.Rounds 60 20 > random.txt
 */
public class Rounds {
    static class Clock implements Time {
        long now = 1_000_000;

        public long milliseconds() { return now; }
        public long nanoseconds() { return now * 1_000_000; }
        public void sleep(long ms) { now += ms; }
        public void waitObject(Object o, Supplier<Boolean> condition, long deadline) { throw new UnsupportedOperationException(); }
    }

    static final class Work {
        final Set<String> connectors = new LinkedHashSet<>();
        final Set<ConnectorTaskId> tasks = new LinkedHashSet<>();

        Work copy() {
            Work w = new Work();
            w.connectors.addAll(connectors);
            w.tasks.addAll(tasks);
            return w;
        }
    }

    final Clock clock = new Clock();
    final Random random;
    final int maxDelay;
    IncrementalCooperativeAssignor assignor;
    int generation = -1;
    int next = 0;
    final Map<String, Work> held = new TreeMap<>();
    final Map<String, Work> gone = new TreeMap<>();
    final Map<String, Integer> config = new TreeMap<>();
    String missed = null; // does not get the next assignment

    Rounds(long seed, int maxDelay) {
        this.random = new Random(seed);
        this.maxDelay = maxDelay;
        System.out.println("story " + maxDelay);
        lead();
    }

    void lead() { assignor = new IncrementalCooperativeAssignor(new LogContext(), clock, maxDelay); }

    <T> T pick(Collection<T> of) { return new ArrayList<>(of).get(random.nextInt(of.size())); }

    void join() {
        String m = "m" + (char) ('a' + next++ % 26);
        held.put(m, new Work());
        System.out.println("join " + m);
    }

    void event() {
        switch (random.nextInt(12)) {
            case 0: case 1:
                if (next < 26) join();
                break;
            case 2: case 3:
                if (held.size() > 1) {
                    String m = pick(held.keySet());
                    gone.put(m, held.remove(m));
                    System.out.println("leave " + m);
                }
                break;
            case 4: // a member that was forgotten comes back under another id, with its work
                if (!gone.isEmpty() && next < 26) {
                    String old = pick(gone.keySet());
                    String m = "m" + (char) ('a' + next++ % 26);
                    held.put(m, gone.remove(old));
                    System.out.println("back " + m + " " + old);
                }
                break;
            case 5: case 6: {
                String c = "c" + random.nextInt(5);
                int n = random.nextInt(7);
                config.put(c, n);
                System.out.println("set " + c + " " + n);
                break;
            }
            case 7:
                if (!config.isEmpty()) {
                    String c = pick(config.keySet());
                    config.remove(c);
                    System.out.println("delete " + c);
                }
                break;
            case 8:
                if (random.nextInt(3) == 0) {
                    lead();
                    System.out.println("lead");
                }
                break;
            case 9:
                missed = pick(held.keySet());
                System.out.println("miss " + missed);
                break;
            default: {
                int ms = random.nextBoolean() ? random.nextInt(maxDelay + maxDelay / 4 + 1) : random.nextInt(100);
                clock.now += ms;
                System.out.println("wait " + ms);
            }
        }
    }

    ClusterConfigState state() {
        Map<String, Map<String, String>> connectors = new HashMap<>();
        for (String c : config.keySet()) connectors.put(c, Map.of());
        return new ClusterConfigState(1, null, new HashMap<>(config), connectors, Map.of(), Map.of(), Map.of(), Map.of(), Map.of(), new HashSet<>(), new HashSet<>());
    }

    void round() {
        Map<String, ConnectorsAndTasks> members = new TreeMap<>();
        for (Map.Entry<String, Work> e : held.entrySet())
            members.put(e.getKey(), new ConnectorsAndTasks.Builder().with(e.getValue().connectors, e.getValue().tasks).build());
        generation++;
        IncrementalCooperativeAssignor.ClusterAssignment a = assignor.performTaskAssignment(state(), generation - 1, generation, members);
        StringBuilder line = new StringBuilder("round ").append(assignor.delay);
        for (Map.Entry<String, Work> e : held.entrySet()) {
            String m = e.getKey();
            line.append(" | ").append(m).append(": +").append(new ArrayList<>(a.newlyAssignedConnectors(m))).append(new ArrayList<>(a.newlyAssignedTasks(m)))
                .append(" -").append(new ArrayList<>(a.newlyRevokedConnectors(m))).append(new ArrayList<>(a.newlyRevokedTasks(m)));
            if (m.equals(missed)) continue;
            Work before = e.getValue().copy();
            before.connectors.removeAll(a.newlyRevokedConnectors(m));
            before.tasks.removeAll(a.newlyRevokedTasks(m));
            Work after = new Work();
            after.connectors.addAll(a.newlyAssignedConnectors(m));
            after.connectors.addAll(before.connectors);
            after.tasks.addAll(a.newlyAssignedTasks(m));
            after.tasks.addAll(before.tasks);
            e.setValue(after);
        }
        missed = null;
        System.out.println(line);
    }

    public static void main(String[] args) {
        List<Integer> delays = List.of(300_000, 20_000, 0);
        for (int s = 0; s < Integer.parseInt(args[0]); s++) {
            Rounds r = new Rounds(s, delays.get(s % delays.size()));
            r.config.put("c0", 4);
            System.out.println("set c0 4");
            r.join();
            for (int i = 0; i < Integer.parseInt(args[1]); i++) {
                for (int n = r.random.nextInt(3); n > 0; n--) r.event();
                r.round();
            }
        }
    }
}
