#!/bin/sh
# The programs of a node, by name, for either init.
set -eu
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin HOME=/root
. /etc/node/environment

# Addresses, routes, modules, and where logs go.
prepare() {
    hostname "$NODE_NAME"
    mkdir -p /etc/kubernetes/manifests
    modprobe -a virtio_net virtio_console overlay bridge veth br_netfilter nf_tables
    sysctl -q -w net.ipv4.ip_forward=1 net.bridge.bridge-nf-call-iptables=1
    ip link set lo up
    tries=0
    until ip link set eth0 up 2> /dev/null || [ $tries -ge 100 ]; do
        tries=$((tries + 1))
        sleep 0.1
    done
    ip address add "$NODE_ADDRESS/24" dev eth0
    ip route add default via "$NODE_GATEWAY"
    for route in $NODE_ROUTES; do
        ip route add "${route%=*}" via "${route#*=}"
    done
    # One port for each log; QEMU writes it to a file of the host.
    mkdir -p /run/node
    tries=0
    while [ "$(ls /run/node | wc -l)" -lt 4 ] && [ $tries -lt 100 ]; do
        for port in /sys/class/virtio-ports/*/name; do
            [ -e "$port" ] || continue
            name=$(cat "$port")
            device=${port%/name}
            [ -e "/run/node/$name" ] || ln -s "/dev/${device##*/}" "/run/node/$name"
        done
        tries=$((tries + 1))
        sleep 0.1
    done
}

# The images that came with the node's disk; pods need one of them.
import() {
    until ctr version > /dev/null 2>&1; do
        sleep 0.2
    done
    for image in /usr/share/node/images/*; do
        ctr --namespace k8s.io images import --all-platforms "$image"
    done
}

case $1 in
    prepare) prepare ;;
    shell)
        mkdir -p /etc/dropbear
        exec dropbear -F -E -R -s -j -k -p "$NODE_ADDRESS:22"
        ;;
    containerd) exec containerd --config /etc/containerd/config.toml ;;
    kubelet)
        import
        exec kubelet --config /etc/kubernetes/kubelet.yaml \
            --kubeconfig /etc/kubernetes/kubelet.kubeconfig \
            --hostname-override "$NODE_NAME" --node-ip "$NODE_ADDRESS"
        ;;
    kube-proxy)
        exec kube-proxy --kubeconfig /etc/kubernetes/kube-proxy.kubeconfig \
            --hostname-override "$NODE_NAME" --proxy-mode nftables \
            --cluster-cidr 10.244.0.0/16 --conntrack-max-per-core 0
        ;;
esac
