# In the machine of vm-run, as root: start systemd in a container, and have it run a command.
#
#     sh systemd.sh USER COMMAND      a shell's line, in a login session of USER's
#     sh systemd.sh "" COMMAND        the same, as a service of the system's
#
# Its output and status are handed on.
set -e
if [ $$ != 1 ]; then
    container=lab unshare --pid --fork --mount --mount-proc sh "$0" "$@" >/run/lab.log 2>&1 ||
        cat /run/lab.log >&2
    cat /run/lab.out
    exit "$(cat /run/lab.status)"
fi

printf 'cd "%s"\n%s\n' "$PWD" "$2" >/run/lab.command
cat >/run/lab.session <<'END'
if [ "$1" ]; then su --login "$1" --command 'sh /run/lab.command'; else sh /run/lab.command; fi \
    >/run/lab.out 2>&1
echo $? >/run/lab.status
systemctl exit
END
mkdir -p /run/systemd/system
cat >/run/systemd/system/lab.service <<END
[Unit]
Requires=basic.target dbus.service systemd-logind.service
After=basic.target dbus.service systemd-logind.service
[Service]
ExecStart=/bin/sh /run/lab.session "$1"
END
mkdir /sys/fs/cgroup/lab                # which systemd is to take for the root of all
echo 0 >/sys/fs/cgroup/lab/cgroup.procs
exec unshare --cgroup sh -c 'umount -l /sys/fs/cgroup
    mount -t cgroup2 -o nsdelegate cgroup2 /sys/fs/cgroup
    exec /lib/systemd/systemd --unit=lab.service'
