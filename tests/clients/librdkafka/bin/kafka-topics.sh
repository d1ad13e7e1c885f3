#!/usr/bin/env bash
# What librdkafka's tests ask of Apache Kafka's script of this name, done by `floe topic`. FLOE_TEST_BROKER says where floe is.
set -euo pipefail
action=
topic=
bootstrap=
more=()
while [ $# -gt 0 ]; do
    case $1 in
    --create | --alter | --delete)
        action=${1#--}
        shift
        ;;
    --bootstrap-server)
        bootstrap=$2
        shift 2
        ;;
    --topic)
        topic=$2
        shift 2
        ;;
    --config)
        # Kafka 4 takes no smaller segments (KIP-1030), and neither does Floe.
        [ "$2" = segment.bytes=10000 ] && set -- "$1" segment.bytes=1048576 "${@:3}"
        more+=("$1" "$2")
        shift 2
        ;;
    --partitions | --replication-factor)
        more+=("$1" "$2")
        shift 2
        ;;
    *)
        echo "kafka-topics.sh: $1 is not known here" >&2
        exit 2
        ;;
    esac
done
program=$FLOE_TEST_BROKER
# What tests are told is not for floe, which takes settings from the environment.
for name in "${!FLOE_@}"; do unset "$name"; done
exec "$program" topic "$action" --bootstrap "$bootstrap" "$topic" "${more[@]}"
