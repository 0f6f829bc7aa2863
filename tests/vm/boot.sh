# PID 1 of the machine, first half, with nothing but BusyBox: put the root file system together.
# Before it stand the settings of vm-run: root, user, uid, gid, home, here, shares, swap, and "$@",
# the command.  A failure ends PID 1, and with it the machine.
#
# /host/root is the real machine's root, /host/1 and so on its --share directories, both by
# virtiofs; /scratch is the disk for all that is written, and goes when the machine goes.
set -e

fresh() {                               # an empty directory on the disk, with this mode
    count=$((count + 1))
    mkdir -m "$1" "/scratch/$count"
    mkdir -p "/root$2"
    mount --bind "/scratch/$count" "/root$2"
}

copy_on_write() {                       # a directory of the host's that can be written, in vain
    count=$((count + 1))
    mkdir -p "/scratch/$count/upper" "/scratch/$count/work" "/root$1"
    mount -t overlay -o "lowerdir=/host/root$1,upperdir=/scratch/$count/upper,workdir=/scratch/$count/work" \
        root "/root$1"
}

/bin/busybox --install -s /bin
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
for module in /modules/*; do insmod "$module"; done
mount -t virtiofs host /host
ls /host/root/ >/dev/null               # this mounts what is below
mount -t ext4 -o noatime /dev/vda /scratch
if [ "$swap" ]; then
    dd if=/dev/zero of=/scratch/swap bs=1M count="$swap" 2>/dev/null
    chmod 600 /scratch/swap
    mkswap /scratch/swap >/dev/null
    swapon /scratch/swap
fi

copy_on_write ''
# Nothing may change below an overlay, but other runs of the tests make and remove accounts.
for file in /root/etc/passwd* /root/etc/shadow* /root/etc/group* /root/etc/gshadow* /root/etc/sub?id*; do
    cp -p "$file" "$file.copy"
    mv "$file.copy" "$file"
done
rm -f /root/etc/*.lock
for dir in dev proc sys; do mount --move /$dir /root/$dir; done
mount -t cgroup2 -o nsdelegate,memory_recursiveprot cgroup2 /root/sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs /root/run
fresh 1777 /tmp
fresh 1777 /var/tmp
[ ! "$home" ] || fresh 700 "$home"
case $here in
    /tmp/* | /var/tmp/* | "${home:-/nowhere}"/*) copy_on_write "$here" ;;
esac
eval "set -- $shares"
for share; do
    number=$((number + 1))
    mkdir -p "/root$share"
    mount --bind "/host/$number" "/root$share"
done

cd /root/dev
ln -s /proc/self/fd fd
ln -s fd/0 stdin
ln -s fd/1 stdout
ln -s fd/2 stderr
mkdir pts shm
mount -t devpts -o gid=5,mode=620,ptmxmode=666 devpts pts
mount -t tmpfs tmpfs shm
cd /
ifconfig lo up
hostname "$(cat /root/etc/hostname)"
cp /session /root/run/session
umount -l /host /scratch
exec switch_root /root /bin/sh /run/session
