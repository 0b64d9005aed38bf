#!/usr/bin/busybox sh
# The guest's first process: mounts what a Linux system has, runs /etc/guest/run, tells
# the host how it ended and powers off. Options are environment variables, which the
# kernel makes of words like `cgroups=v1` on its command line.
export PATH=/usr/sbin:/usr/bin HOME=/root TERM=dumb

if [ ! -e /.second ]; then
    # pivot_root refuses the kernel's first file system. A bind mount of it, moved over
    # it, is an ordinary root.
    : > /.second
    mount --bind / /.root && cd /.root && mount --move . / && exec chroot . /init
fi

mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs -o mode=1777 tmpfs /dev/shm
mount -t tmpfs -o mode=1777 tmpfs /tmp
mount -t tmpfs -o mode=755 tmpfs /run
mount -t bpf bpf /sys/fs/bpf
mount -t securityfs securityfs /sys/kernel/security
mount -t tracefs tracefs /sys/kernel/tracing 2> /dev/null
ln -s /proc/self/fd /dev/fd
ln -s /proc/self/fd/0 /dev/stdin
ln -s /proc/self/fd/1 /dev/stdout
ln -s /proc/self/fd/2 /dev/stderr
case ${cgroups:-v2} in
    v2)
        mount -t cgroup2 cgroup2 /sys/fs/cgroup
        ;;
    v1)
        mount -t tmpfs -o mode=755 tmpfs /sys/fs/cgroup
        mkdir /sys/fs/cgroup/pids
        mount -t cgroup -o pids cgroup /sys/fs/cgroup/pids
        ;;
esac
mount --make-rshared /
hostname guest
ip link set lo up

for module in /usr/lib/guest/modules/*.ko; do
    [ -e "$module" ] && insmod "$module"
done

# A port shows up under its name some time after the driver has found the device.
mkdir /run/guest
tries=0
while [ "$(ls /run/guest | wc -l)" -lt 4 ] && [ $tries -lt 500 ]; do
    for port in /sys/class/virtio-ports/*/name; do
        [ -e "$port" ] || continue
        read -r name < "$port"
        [ -e "/run/guest/$name" ] || ln -s "/dev/$(basename "${port%/name}")" "/run/guest/$name"
    done
    tries=$((tries + 1))
    usleep 10000
done

# A port can be opened by one process only, so that `echo > /dev/stderr` would fail on
# it: scripts write to pipes instead.
mkfifo /run/guest/out /run/guest/err /run/guest/rep
cat < /run/guest/out > /run/guest/stdout & out=$!
cat < /run/guest/err > /run/guest/stderr & err=$!
cat < /run/guest/rep > /run/guest/report & rep=$!
exec 9> /run/guest/control
echo up >&9
cd /root
[ -e /etc/guest/environment ] && . /etc/guest/environment
setsid /usr/bin/busybox sh /etc/guest/run \
    < /dev/null > /run/guest/out 2> /run/guest/err 3> /run/guest/rep 9>&-
status=$?
# What is still running may hold the pipes open.
(sleep 1; kill $out $err $rep) 2> /dev/null &
wait $out $err $rep
echo "exit $status" >&9
poweroff -f
