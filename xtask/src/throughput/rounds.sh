# The guest's part of `cargo xtask throughput`: times `rounds` rounds of each kind, and
# writes "without|with WORK SECONDS" to file descriptor 3.
set -e

# Centiseconds since the boot.
now() {
    tr -d . < /proc/uptime | cut -d ' ' -f 1
}
compile() {
    for worker in 0 1 2 3; do
        (
            cc1 -quiet -fpreprocessed -O1 /src/$worker.c -o /tmp/$worker.s &&
                as /tmp/$worker.s -o /tmp/$worker.o
        ) &
        workers="$workers $!"
    done
    finish
}
web() {
    for client in 0 1 2 3; do
        (
            for request in $(seq 10); do
                wget -q -O /dev/null http://127.0.0.1:8080/page
            done
        ) &
        workers="$workers $!"
    done
    finish
}
# Fails if one of them has.
finish() {
    for worker in $workers; do
        wait $worker
    done
    workers=
}
timed() {
    started=$(now)
    $2
    took=$(($(now) - started))
    printf '%s %s %d.%02d\n' $1 $2 $((took / 100)) $((took % 100)) >&3
}
enforce() {
    : > /run/log
    bartizan-enforcer standalone -f /etc/policies --denials /run/denials \
        --workload idle=/sys/fs/cgroup/idle,label=bench=idle 2>> /run/log &
    enforcer=$!
    until grep -q enforcing: /run/log; do
        kill -0 $enforcer || { cat /run/log >&2; exit 1; }
        sleep 1
    done
    sleep 1
}

mkdir /sys/fs/cgroup/idle
sh -c 'echo $$ > /sys/fs/cgroup/idle/cgroup.procs; exec sleep 100000' &
httpd -f -p 127.0.0.1:8080 -h /srv/www &
# The first round of anything is slower than all others.
compile
web
for round in $(seq $rounds); do
    echo "round $round of $rounds" >&2
    timed without compile
    timed without web
    enforce
    timed with compile
    timed with web
    kill $enforcer
    wait $enforcer || true
    sleep 1
done
