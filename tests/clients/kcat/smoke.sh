#!/usr/bin/env bash
# kcat: Debian's old librdkafka. Topics are created by asking for them.
set -euo pipefail
broker=${FLOE_BOOTSTRAP:-127.0.0.1:9092}
topic=${FLOE_TOPIC:-smoke}
fail() { echo "$*"; exit 1; }

for codec in none gzip snappy lz4 zstd; do
    name=$topic-$codec
    began=$(date +%s%3N)
    records=$(for n in $(seq 0 59); do echo "key-$n:value-$n value-$n value-$n value-$n"; done)
    kcat -b "$broker" -P -t "$name" -p 0 -z "$codec" -K: -H trace=one -H trace=two -X acks=all <<<"$records"
    got=$(kcat -b "$broker" -C -t "$name" -p 0 -o beginning -e -q -X check.crcs=true -f '%k:%s\n')
    [ "$got" = "$records" ] || fail "$codec: other records: ${got:0:300}"
    headers=$(kcat -b "$broker" -C -t "$name" -p 0 -o 20 -c 1 -q -f '%o %h\n')
    [ "$headers" = "20 trace=one,trace=two" ] || fail "$codec: headers: $headers"
    last=$(kcat -b "$broker" -C -t "$name" -p 0 -o -2 -e -q -f '%o ')
    [ "$last" = "58 59 " ] || fail "$codec: the last two: $last"
    first=$(kcat -b "$broker" -Q -t "$name:0:$began")
    [[ "$first" == *"offset 0"* ]] || fail "$codec: the first since $began: $first"
    # librdkafka names the end by -1.
    none=$(kcat -b "$broker" -Q -t "$name:0:$((began + 3600000))")
    [[ "$none" == *"offset -1"* || "$none" == *"offset 60"* ]] || fail "$codec: in an hour: $none"
    since=$(kcat -b "$broker" -C -t "$name" -p 0 -o "s@$began" -e -q -f '%o ' | wc -w)
    [ "$since" = 60 ] || fail "$codec: since $began: $since records"
done
kcat -b "$broker" -L -t "$topic-none" | grep -q "partition 0, leader 0" || fail "no leader in the metadata"
echo "$(kcat -V | sed -n 's/^Version \([^ ]*\).*librdkafka \([^ ]*\).*/kcat \1, librdkafka \2/p'): 5 codecs"
