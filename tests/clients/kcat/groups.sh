#!/usr/bin/env bash
# kcat in a group: reads everything once, and goes on where it stopped.
set -euo pipefail
broker=${FLOE_BOOTSTRAP:-127.0.0.1:9092}
topic=${FLOE_TOPIC:-kcat-groups}
group=$topic-group
for n in $(seq 1 30); do echo "value-$n"; done | kcat -b "$broker" -t "$topic" -P
# With a group kcat knows no end: it stops after so many records.
timeout 60 kcat -b "$broker" -G "$group" -c 20 -X auto.offset.reset=earliest -X auto.commit.interval.ms=100 -q "$topic" > /dev/null
rest=$(timeout 60 kcat -b "$broker" -G "$group" -c 10 -X auto.offset.reset=earliest -q "$topic" | sort -u | wc -l)
[ "$rest" -eq 10 ] || { echo "$rest records instead of the last 10"; exit 1; }
echo "kcat $(kcat -V | sed -n 's/^Version //p' | cut -d' ' -f1): a group goes on where it stopped"
