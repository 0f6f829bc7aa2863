/* Devices of the host.  Nodes are opened and let go, without a byte read or written; those that a
 * mere opening sets off (a watchdog!) or takes from others are only asked whether they could be. */
#include "attempts.h"

MB_OPEN_ATTEMPT(memory, O_RDONLY, "/dev/mem", "/dev/kmem")
MB_OPEN_ATTEMPT(ports, O_RDONLY, "/dev/port")
MB_OPEN_ATTEMPT(kernel_log, O_RDONLY, "/dev/kmsg")
MB_OPEN_ATTEMPT(kernel_log_written, O_WRONLY, "/dev/kmsg")
MB_OPEN_ATTEMPT(console, O_RDWR, "/dev/console")
MB_OPEN_ATTEMPT(serial, O_RDWR, "/dev/ttyS0", "/dev/ttyS1", "/dev/ttyAMA0", "/dev/ttyUSB0",
                "/dev/hvc0")
MB_OPEN_ATTEMPT(virtual_terminals, O_RDWR, "/dev/tty0", "/dev/tty1", "/dev/tty7")
MB_OPEN_ATTEMPT(screen, O_RDONLY, "/dev/vcs", "/dev/vcs1", "/dev/vcsa", "/dev/fb0")
MB_OPEN_ATTEMPT(loop_control, O_RDWR, "/dev/loop-control")
MB_OPEN_ATTEMPT(loop, O_RDONLY, "/dev/loop0", "/dev/loop1")
MB_OPEN_ATTEMPT(mapper, O_RDONLY, "/dev/mapper/control")
MB_OPEN_ATTEMPT(btrfs, O_RDONLY, "/dev/btrfs-control")
MB_OPEN_ATTEMPT(compressed_memory, O_RDONLY, "/dev/zram0", "/dev/ram0", "/dev/pmem0")
MB_OPEN_ATTEMPT(scsi, O_RDONLY, "/dev/sg0", "/dev/bsg/0:0:0:0", "/dev/nvme0", "/dev/sr0")
MB_OPEN_ATTEMPT(fuse, O_RDWR, "/dev/fuse")
MB_OPEN_ATTEMPT(cuse, O_RDWR, "/dev/cuse")
MB_OPEN_ATTEMPT(automount, O_RDONLY, "/dev/autofs")
MB_OPEN_ATTEMPT(tunnel, O_RDWR, "/dev/net/tun")
MB_OPEN_ATTEMPT(point_to_point, O_RDWR, "/dev/ppp")
MB_OPEN_ATTEMPT(machines, O_RDWR, "/dev/kvm")
MB_OPEN_ATTEMPT(vhost, O_RDWR, "/dev/vhost-net", "/dev/vhost-vsock")
MB_OPEN_ATTEMPT(hypervisor, O_RDONLY, "/dev/vsock", "/dev/vmci", "/dev/vboxguest",
                "/dev/xen/privcmd", "/dev/xen/evtchn")
MB_OPEN_ATTEMPT(fault_handler, O_RDWR, "/dev/userfaultfd")
MB_OPEN_ATTEMPT(input, O_RDONLY, "/dev/input/event0", "/dev/input/mice", "/dev/hidraw0")
MB_OPEN_ATTEMPT(input_forged, O_WRONLY, "/dev/uinput", "/dev/uhid")
MB_OPEN_ATTEMPT(usb, O_RDONLY, "/dev/bus/usb/001/001")
MB_OPEN_ATTEMPT(sound, O_RDONLY, "/dev/snd/controlC0", "/dev/snd/seq", "/dev/snd/timer")
MB_OPEN_ATTEMPT(camera, O_RDONLY, "/dev/video0", "/dev/media0")
MB_OPEN_ATTEMPT(graphics, O_RDWR, "/dev/dri/renderD128", "/dev/dri/card0", "/dev/kfd",
                "/dev/nvidiactl", "/dev/nvidia0", "/dev/nvidia-uvm")
MB_OPEN_ATTEMPT(graphics_arbiter, O_RDONLY, "/dev/vga_arbiter")
MB_OPEN_ATTEMPT(processor, O_RDONLY, "/dev/cpu/0/msr", "/dev/cpu/0/cpuid")
MB_OPEN_ATTEMPT(random_hardware, O_RDONLY, "/dev/hwrng")
MB_OPEN_ATTEMPT(pass_through, O_RDWR, "/dev/vfio/vfio", "/dev/iommu", "/dev/uio0")
MB_OPEN_ATTEMPT(shared_buffers, O_RDWR, "/dev/udmabuf", "/dev/dma_heap/system")
MB_OPEN_ATTEMPT(binder, O_RDWR, "/dev/binder", "/dev/binderfs/binder-control", "/dev/ashmem")
MB_OPEN_ATTEMPT(enclaves, O_RDWR, "/dev/sgx_enclave", "/dev/sev", "/dev/tdx_guest",
                "/dev/nitro_enclaves")

/* Could any of *paths* be opened? Not if the mount has no devices. */
static int could_open(const char *const *paths, int mode, struct mb_line *detail)
{
    int result = -ENOENT;

    for (; *paths && result == -ENOENT; paths++) {
        result = mb_faccessat2(AT_FDCWD, *paths, mode, AT_EACCESS);
        if (result == 0)
            mb_put(detail, *paths);
    }
    return mb_outcome(result);
}

#define ACCESS_ATTEMPT(name, mode, ...) \
    static int MB_ATTEMPT(name) { return could_open(MB_PATHS(__VA_ARGS__), mode, detail); }

ACCESS_ATTEMPT(watchdog, W_OK, "/dev/watchdog", "/dev/watchdog0")
ACCESS_ATTEMPT(real_time_clock, R_OK, "/dev/rtc0", "/dev/rtc", "/dev/ptp0", "/dev/hpet")
ACCESS_ATTEMPT(key_chip, R_OK, "/dev/tpm0", "/dev/tpmrm0")
ACCESS_ATTEMPT(power, W_OK, "/dev/cpu_dma_latency", "/dev/snapshot")
ACCESS_ATTEMPT(firmware, R_OK, "/dev/nvram", "/dev/mtd0", "/dev/mcelog", "/dev/ipmi0")

/* ---- whatever is in /dev ---- */

static bool is_basic(const char *name)
{
    return mb_has_word("null,zero,full,random,urandom,tty,ptmx", name);
}

/* Any disk, or part of one, in /dev. */
static int MB_ATTEMPT(disks)
{
    MB_FD dev = mb_open("/dev", O_RDONLY | O_DIRECTORY);
    struct mb_names names = { .dir = dev };
    const char *name;
    int result = -ENOENT;

    while (dev >= 0 && (name = mb_next_name(&names))) {
        struct stat about;
        MB_FD disk = -1;
        if (mb_fstatat(dev, name, &about, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISBLK(about.st_mode))
            continue;
        disk = mb_openat(dev, name, O_RDONLY | O_NONBLOCK, 0);
        result = disk;
        if (disk >= 0) {
            mb_put(detail, name);
            return MB_OPEN;
        }
    }
    return result;
}

static int MB_ATTEMPT(others_listed)
{
    MB_FD dev = mb_open("/dev", O_RDONLY | O_DIRECTORY);
    struct mb_names names = { .dir = dev };
    const char *name;
    uint64_t count = 0;

    while (dev >= 0 && (name = mb_next_name(&names))) {
        struct stat about;
        if (is_basic(name) || mb_fstatat(dev, name, &about, AT_SYMLINK_NOFOLLOW) < 0 ||
            (!S_ISCHR(about.st_mode) && !S_ISBLK(about.st_mode)))
            continue;
        if (!count++) {
            mb_put(detail, name);
            mb_put(detail, " is the first of them");
        }
    }
    return count ? MB_OPEN : MB_HELD;
}

/* A terminal that is there although this process has made none. */
static int MB_ATTEMPT(terminals_of_others)
{
    MB_FD dir = mb_open("/dev/pts", O_RDONLY | O_DIRECTORY);
    struct mb_names names = { .dir = dir };
    const char *name;
    int result = -ENOENT;

    while (dir >= 0 && (name = mb_next_name(&names))) {
        MB_FD terminal = -1;
        if (*name < '0' || *name > '9')
            continue;
        terminal = mb_openat(dir, name, O_RDWR | O_NOCTTY | O_NONBLOCK, 0);
        result = terminal;
        if (terminal >= 0) {
            mb_put(detail, name);
            return MB_OPEN;
        }
    }
    return result;
}

/* What it is to be in /dev can be chosen where names can be made: null that keeps, random that is
 * known. An unnamed file shows it, and leaves nothing. */
static int MB_ATTEMPT(names_made)
{
    MB_FD fd = mb_unnamed_file("/dev");
    return mb_outcome(fd);
}

/* A device's node in a directory of the canaries or, where that is not to be seen, of the box. */
static int make_node(const struct mb_given *given, mode_t kind, unsigned device, int flags)
{
    const char *canary = mb_given(given, "mount");
    const char *const places[] = { canary ? canary : "/tmp", "/tmp", "/dev/shm", "/" };
    int result = -ENOENT;

    for (size_t at = 0; at < sizeof places / sizeof *places; at++) {
        MB_FD dir = mb_open(places[at], O_RDONLY | O_DIRECTORY);
        MB_FD node = -1;
        if (dir < 0)
            continue;
        result = (int)MB_QUIET(__NR_mknodat, dir, "minibox-probe-node", kind | 0600, device);
        if (result < 0)
            return result;
        node = mb_openat(dir, "minibox-probe-node", flags | O_NONBLOCK, 0);
        result = mb_outcome(node);
        mb_unlinkat(dir, "minibox-probe-node", 0);
        return result;
    }
    return result;
}

/* null, under another name: if that can be made and opened, so can memory and disks. */
static int MB_ATTEMPT(node_made)
{
    return make_node(given, S_IFCHR, 1 << 8 | 3, O_RDWR);
}

/* A disk, of the kind that most machines have. */
static int MB_ATTEMPT(disk_made)
{
    return make_node(given, S_IFBLK, 7 << 8, O_RDONLY);
}

/* Is there a directory to write in, in which a device's node would be one? */
static int MB_ATTEMPT(nodes_honoured)
{
    struct mb_mount mount;
    char *text = mb_mounts();

    if (!text)
        return MB_UNPROVABLE;
    while (mb_next_mount(&text, &mount)) {
        struct stat about;
        if (mb_has_word(mount.options, "nodev") || mb_has_word(mount.options, "ro") ||
            mb_has_word("proc,sysfs,cgroup,cgroup2,devpts,mqueue", mount.type))
            continue;                       /* nor are there nodes in what the kernel makes up */
        if (mb_fstatat(AT_FDCWD, mount.point, &about, 0) == 0 && S_ISDIR(about.st_mode)) {
            mb_put(detail, mount.point);
            return MB_OPEN;
        }
    }
    return MB_HELD;
}

const struct mb_probe mb_devices_probes[] = {
    { "devices.memory", memory },
    { "devices.ports", ports },
    { "devices.kernel-log", kernel_log },
    { "devices.kernel-log-written", kernel_log_written },
    { "devices.console", console },
    { "devices.serial", serial },
    { "devices.virtual-terminals", virtual_terminals },
    { "devices.screen", screen },
    { "devices.disks", disks },
    { "devices.loop-control", loop_control },
    { "devices.loop", loop },
    { "devices.mapper", mapper },
    { "devices.btrfs", btrfs },
    { "devices.compressed-memory", compressed_memory },
    { "devices.scsi", scsi },
    { "devices.fuse", fuse },
    { "devices.cuse", cuse },
    { "devices.automount", automount },
    { "devices.tunnel", tunnel },
    { "devices.point-to-point", point_to_point },
    { "devices.machines", machines },
    { "devices.vhost", vhost },
    { "devices.hypervisor", hypervisor },
    { "devices.fault-handler", fault_handler },
    { "devices.input", input },
    { "devices.input-forged", input_forged },
    { "devices.usb", usb },
    { "devices.sound", sound },
    { "devices.camera", camera },
    { "devices.graphics", graphics },
    { "devices.graphics-arbiter", graphics_arbiter },
    { "devices.processor", processor },
    { "devices.random-hardware", random_hardware },
    { "devices.pass-through", pass_through },
    { "devices.shared-buffers", shared_buffers },
    { "devices.binder", binder },
    { "devices.enclaves", enclaves },
    { "devices.watchdog", watchdog },
    { "devices.clock", real_time_clock },
    { "devices.key-chip", key_chip },
    { "devices.power", power },
    { "devices.firmware", firmware },
    { "devices.others-listed", others_listed },
    { "devices.terminals-of-others", terminals_of_others },
    { "devices.names-made", names_made },
    { "devices.node-made", node_made },
    { "devices.disk-made", disk_made },
    { "devices.nodes-honoured", nodes_honoured },
    MB_END
};
