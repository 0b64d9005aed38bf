#!/usr/bin/busybox sh
# The first process of a node: mounts the node's disk, puts the files of this node there,
# and hands over to the init that the kernel's command line names (node_init=).
export PATH=/usr/sbin:/usr/bin

mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
for module in /usr/lib/guest/modules/*.ko; do
    insmod "$module"
done
tries=0
until [ -b /dev/vda ] || [ $tries -ge 1000 ]; do
    tries=$((tries + 1))
    usleep 10000
done
mount -t ext4 /dev/vda /mnt || exit 1
cp -a /node/. /mnt/
umount /dev /sys /proc
exec switch_root /mnt "$node_init"
