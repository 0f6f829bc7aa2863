# PID 1 of the machine, second half, with the host's own programs: a place in the cgroups, the user,
# the command ("$@"), and a report of how it ended.
set -e

cgroup=/sys/fs/cgroup

enter() {                               # a cgroup below this one, that gets all controllers
    sed 's/[^ ]*/+&/g' $cgroup/cgroup.controllers >$cgroup/cgroup.subtree_control
    cgroup=$cgroup/$1
    mkdir $cgroup
}

account() {                             # a line of /etc/$1 for the user, if there is none
    grep -q "^$user:" "/etc/$1" || echo "$user:$2" >>"/etc/$1"
}

delegate() {                            # what systemd gives a user of a cgroup
    chown "$uid" $cgroup
    for file in $(cat /sys/kernel/cgroup/delegate); do
        [ ! -e $cgroup/$file ] || chown "$uid" $cgroup/$file
    done
}

mount --make-rshared /
mkdir -m 1777 /run/lock
as=
if [ "$user" ]; then
    account passwd "x:$uid:$gid::$home:/bin/sh"
    account group "x:$gid:"
    account subuid 524288:65536
    account subgid 524288:65536
    mkdir -p -m 700 "/run/user/$uid"
    chown "$uid:$gid" "/run/user/$uid" "$home"
    export USER="$user" LOGNAME="$user" HOME="$home" XDG_RUNTIME_DIR="/run/user/$uid"
    enter user.slice
    enter "user-$uid.slice"
    enter "user@$uid.service"
    delegate
    enter app.slice
    chown -R "$uid" $cgroup
    enter vm-run.scope
    chown -R "$uid" $cgroup
    as="setpriv --reuid $uid --regid $gid --init-groups"
else
    enter system.slice
    enter vm-run.service
fi

until [ -e /dev/vport*p3 ]; do sleep 0.05; done
port=$(echo /dev/vport*p3)
mkfifo -m 666 /run/out /run/err
LC_ALL=C dd bs=64k </run/out >"${port%3}1" 2>/run/out.size &
out=$!
LC_ALL=C dd bs=64k </run/err >"${port%3}2" 2>/run/err.size &
err=$!

set +e
(
    echo 0 >$cgroup/cgroup.procs
    cd "$here" && exec setsid $as "$@"
) </dev/null >/run/out 2>/run/err
status=$?
for kill in /sys/fs/cgroup/*/cgroup.kill; do echo 1 >"$kill"; done
wait $out $err
[ ! "$shares" ] || eval "sync -f $shares"
# How many bytes each stream had, so that the other side knows when it has all of them.
echo $status $(sed -n 's/ byte.*//p' /run/out.size /run/err.size) >"$port"
exec sleep 1d
