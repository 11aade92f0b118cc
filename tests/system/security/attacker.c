/* What a hostile container does beyond what a shell can. Built statically by conftest.py and put into an image as /attacker.
 *
 * Each verb prints what it found; a line that begins with "LEAK" is an escape. */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static const char *name_of(int error)
{
    return error ? strerrorname_np(error) : "OK";
}

/* A foreign executable that we hold by descriptor: can it be changed? The write is tried until its last process has ended. */
static int take_executable(int fd, double seconds)
{
    char path[64], target[256] = "";
    struct stat s;
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    readlink(path, target, sizeof target - 1);
    fstat(fd, &s);
    printf("holds %s\n", target);
    if (strncmp(target, "/memfd:", 7) && !chmod(path, s.st_mode | S_ISUID))
        printf("LEAK changed the mode of %s\n", target);
    for (double end = now() + seconds; now() < end; usleep(1000)) {
        int writing = open(path, O_WRONLY | O_CLOEXEC);
        if (writing < 0 && errno != ETXTBSY)
            break;
        if (writing >= 0 && write(writing, "#!/attacker\n", 12) > 0)
            printf("LEAK wrote to %s\n", target);
        if (writing >= 0)
            break;
    }
    fflush(stdout);
    return 0;
}

static int is_ours(int fd)
{
    struct stat there, own, shell;
    if (fstat(fd, &there) || stat("/attacker", &own) || stat("/bin/busybox", &shell))
        return 0;
    return (there.st_ino == own.st_ino && there.st_dev == own.st_dev) || (there.st_ino == shell.st_ino && there.st_dev == shell.st_dev);
}

/* Looks into every process that appears, as often as it can, for what is not of the container. */
static int watch(double seconds)
{
    char path[128], text[1 << 16];
    long seen = 0;
    for (double end = now() + seconds; now() < end;) {
        DIR *proc = opendir("/proc");
        struct dirent *entry;
        while ((entry = readdir(proc))) {
            int pid = atoi(entry->d_name);
            if (pid <= 0 || pid == getpid())
                continue;
            seen++;
            snprintf(path, sizeof path, "/proc/%d/exe", pid);
            int exe = open(path, O_PATH | O_CLOEXEC);
            if (exe >= 0) {
                if (!is_ours(exe))
                    printf("LEAK executable of process %d\n", pid);
                close(exe);
            }
            snprintf(path, sizeof path, "/proc/%d/environ", pid);
            int environ_fd = open(path, O_RDONLY | O_CLOEXEC);
            if (environ_fd >= 0) {
                ssize_t size = read(environ_fd, text, sizeof text - 1);
                if (size > 0 && memmem(text, size, "RL_ROOT=", 8))
                    printf("LEAK environment of process %d\n", pid);
                close(environ_fd);
            }
        }
        closedir(proc);
    }
    printf("watched %ld\n", seen);
    return 0;
}

/* Everything of a process of the engine that a debugger would use. */
static int pry(int pid)
{
    static const char *const names[] = {"mem", "environ", "maps", "auxv", "exe", "root", "cwd", "fd", "fdinfo", "map_files", "stack",
        "syscall", "io", "ns/user", "ns/mnt", "ns/net", "personality", "pagemap", "clear_refs", "smaps", "timers", "uid_map"};
    char path[64];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "/proc/%d/%s", pid, names[i]);
        int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        char byte;
        if (fd >= 0 && strcmp(names[i], "fdinfo") && strcmp(names[i], "uid_map")) {
            ssize_t size = read(fd, &byte, 1);
            if (size > 0 || (size < 0 && errno == EISDIR && !strstr(names[i], "fd")) || !strncmp(names[i], "ns", 2))
                printf("LEAK %s\n", path);
        }
        fd = open(path, O_WRONLY | O_CLOEXEC | O_NONBLOCK);
        if (fd >= 0 && strcmp(names[i], "uid_map"))
            printf("LEAK %s for writing\n", path);
    }
    struct iovec here = {path, 16}, there = {(void *)0x400000, 16};
    if (syscall(SYS_process_vm_readv, pid, &here, 1L, &there, 1L, 0L) >= 0 || (errno != EPERM && errno != ENOSYS))
        printf("LEAK process_vm_readv %s\n", name_of(errno));
    if (!ptrace(PTRACE_SEIZE, pid, 0, 0))
        printf("LEAK ptrace\n");
    int pidfd = syscall(SYS_pidfd_open, pid, 0);
    if (pidfd >= 0 && syscall(SYS_pidfd_getfd, pidfd, 0, 0) >= 0)
        printf("LEAK pidfd_getfd\n");
    if (pidfd >= 0 && !setns(pidfd, CLONE_NEWNET))
        printf("LEAK setns\n");
    printf("pried\n");
    return 0;
}

static int system_calls(void)
{
    char buffer[4096] = {0};
    int kinds[] = {AF_NETLINK, 38, 40}; /* 38: AF_ALG, 40: AF_VSOCK */
    const char *kind_names[] = {"netlink", "alg", "vsock"};
#define TRY(name, call) (errno = 0, printf("%s %s\n", name, (long)(call) == -1 ? name_of(errno) : "OK"))
    TRY("keyctl", syscall(SYS_keyctl, 0, -3, 0, 0, 0));
    TRY("add_key", syscall(SYS_add_key, "user", "evil", "x", 1, -3));
    TRY("request_key", syscall(SYS_request_key, "user", "evil", NULL, 0));
    TRY("bpf", syscall(SYS_bpf, 0, buffer, 64));
    TRY("userfaultfd", syscall(SYS_userfaultfd, 1));
    TRY("perf_event_open", syscall(SYS_perf_event_open, buffer, 0, -1, -1, 0));
    TRY("io_uring_setup", syscall(SYS_io_uring_setup, 8, buffer));
    TRY("unshare", unshare(CLONE_NEWUSER));
    TRY("unshare_mount", unshare(CLONE_NEWNS));
    TRY("clone3", syscall(SYS_clone3, buffer, 64));
    long child = syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0);
    if (child == 0)
        _exit(0);
    printf("clone %s\n", child < 0 ? name_of(errno) : "OK");
    TRY("setns", setns(open("/proc/self/ns/user", O_RDONLY), 0));
    TRY("mount", mount("none", "/tmp", "tmpfs", 0, NULL));
    TRY("umount", umount2("/proc/sys", MNT_DETACH));
    TRY("pivot_root", syscall(SYS_pivot_root, "/", "/tmp"));
    TRY("open_tree", syscall(SYS_open_tree, -100, "/", 1));
    TRY("fsopen", syscall(SYS_fsopen, "proc", 0));
    TRY("move_mount", syscall(SYS_move_mount, -1, "/", -1, "/", 0));
    TRY("mount_setattr", syscall(SYS_mount_setattr, -100, "/proc/sys", 0, buffer, 32));
    TRY("open_by_handle_at", syscall(SYS_open_by_handle_at, 3, buffer, 0));
    TRY("init_module", syscall(SYS_init_module, buffer, 0, ""));
    TRY("kexec_load", syscall(SYS_kexec_load, 0, 0, 0, 0));
    TRY("reboot", syscall(SYS_reboot, 0, 0, 0, 0));
    TRY("swapon", syscall(SYS_swapon, "/tmp/x", 0));
    TRY("acct", syscall(SYS_acct, "/tmp/x"));
    TRY("quotactl", syscall(SYS_quotactl, 0, 0, 0, 0));
    TRY("settimeofday", syscall(SYS_settimeofday, buffer, 0));
    TRY("syslog", syscall(SYS_syslog, 3, buffer, 100));
    TRY("iopl", syscall(SYS_iopl, 3));
    TRY("sethostname", sethostname("evil", 4));
    TRY("mknod", mknod("/tmp/null", S_IFCHR | 0666, 0x103));
    TRY("mknod_disk", mknod("/tmp/disk", S_IFBLK | 0666, 0x800));
    for (int i = 0; i < 3; i++)
        TRY(kind_names[i], socket(kinds[i], kinds[i] == 38 ? SOCK_SEQPACKET : kinds[i] == 40 ? SOCK_STREAM : SOCK_RAW, 0));
    return 0;
}

/* Types into whatever terminals there are (TIOCSTI), and pastes (TIOCLINUX, selection). */
static int type_in(const char *text)
{
    const char *paths[] = {"/dev/tty", "/dev/console", "/dev/tty0", "/dev/tty1", "/dev/pts/0", "/dev/pts/1", "/dev/pts/2"};
    int fds[16] = {0, 1, 2}, count = 3;
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        int fd = open(paths[i], O_RDWR | O_NOCTTY | O_NONBLOCK);
        if (fd >= 0)
            fds[count++] = fd;
    }
    for (int i = 0; i < count; i++) {
        char linux_paste[] = {3};
        for (const char *c = text; *c; c++)
            ioctl(fds[i], TIOCSTI, c);
        if (!ioctl(fds[i], TIOCLINUX, linux_paste))
            printf("LEAK pasted into %d\n", i);
        if (!ioctl(fds[i], TIOCSCTTY, 1) && i >= 3)
            printf("LEAK stole terminal %d\n", i);
    }
    return 0;
}

static int list_descriptors(void)
{
    struct stat s;
    char path[64], target[256];
    for (int fd = 0; fd < 65536; fd++)
        if (!fstat(fd, &s)) {
            snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
            ssize_t length = readlink(path, target, sizeof target - 1);
            printf("%d %.*s\n", fd, (int)(length > 0 ? length : 0), target);
        }
    return 0;
}

static int swap(const char *one, const char *other, double seconds)
{
    for (double end = now() + seconds; now() < end;)
        for (int i = 0; i < 1000; i++)
            renameat2(AT_FDCWD, one, AT_FDCWD, other, RENAME_EXCHANGE);
    return 0;
}

static int connect_abstract(const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int sock = socket(AF_UNIX, SOCK_STREAM, 0);
    strncpy(address.sun_path + 1, name, sizeof address.sun_path - 2);
    int failed = connect(sock, (struct sockaddr *)&address, offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name));
    printf("%s\n", failed ? name_of(errno) : "connected");
    return 0;
}

static unsigned short checksum(const void *data, int size, unsigned long sum)
{
    const unsigned char *bytes = data;
    for (int i = 0; i + 1 < size; i += 2)
        sum += bytes[i] << 8 | bytes[i + 1];
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return htons(~sum);
}

/* Sends SYNs to an address that the container's routes would never send out, straight to the gateway's card. */
static int syn(const char *destination, int port)
{
    unsigned char gateway[6] = {2, 0, 10, 0, 2, 2}, frame[54] = {0};
    int sock = socket(AF_PACKET, SOCK_RAW, htons(ETH_P_IP));
    struct sockaddr_ll link = {.sll_family = AF_PACKET, .sll_ifindex = if_nametoindex("eth0"), .sll_halen = 6};
    struct iphdr ip = {.version = 4, .ihl = 5, .tot_len = htons(40), .ttl = 64, .protocol = IPPROTO_TCP};
    struct tcphdr tcp = {.source = htons(40000), .dest = htons(port), .doff = 5, .syn = 1, .window = htons(65535)};
    inet_pton(AF_INET, "10.0.2.100", &ip.saddr);
    inet_pton(AF_INET, destination, &ip.daddr);
    ip.check = checksum(&ip, 20, 0);
    unsigned char pseudo[32];
    memcpy(pseudo, &ip.saddr, 8);
    memcpy(pseudo + 8, (unsigned char[]){0, 6, 0, 20}, 4);
    memcpy(pseudo + 12, &tcp, 20);
    tcp.check = checksum(pseudo, 32, 0);
    memcpy(frame, gateway, 6);
    memcpy(frame + 6, (unsigned char[]){2, 0, 10, 0, 2, 100, 8, 0}, 8);
    memcpy(frame + 14, &ip, 20);
    memcpy(frame + 34, &tcp, 20);
    memcpy(link.sll_addr, gateway, 6);
    for (int i = 0; i < 10; i++, usleep(50000))
        if (sendto(sock, frame, sizeof frame, 0, (struct sockaddr *)&link, sizeof link) < 0)
            return perror("sendto"), 1;
    puts("sent");
    return 0;
}

static int set_attribute(const char *path, const char *name, const char *value)
{
    int failed = setxattr(path, name, value, strlen(value), 0);
    printf("%s\n", failed ? name_of(errno) : "OK");
    return 0;
}

/* Looks for a key of the user's in the session keyring (and what is linked to it), and tries to read and to plant one. */
static int find_key(const char *description)
{
    char secret[64] = "";
    long key = syscall(SYS_keyctl, 10, -3, "user", description, 0); /* KEYCTL_SEARCH, KEY_SPEC_SESSION_KEYRING */
    if (key < 0) {
        printf("%s\n", name_of(errno));
        return 0;
    }
    syscall(SYS_keyctl, 11, key, secret, sizeof secret - 1, 0); /* KEYCTL_READ */
    printf("LEAK key %ld: %s\n", key, secret);
    return 0;
}

int main(int count, char **arguments)
{
    const char *verb = count > 1 ? arguments[1] : "";
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (!strcmp(verb, "take"))
        return take_executable(atoi(arguments[2]), atof(arguments[3]));
    if (!strcmp(verb, "watch"))
        return watch(atof(arguments[2]));
    if (!strcmp(verb, "pry"))
        return pry(atoi(arguments[2]));
    if (!strcmp(verb, "calls"))
        return system_calls();
    if (!strcmp(verb, "type"))
        return type_in(arguments[2]);
    if (!strcmp(verb, "descriptors"))
        return list_descriptors();
    if (!strcmp(verb, "swap"))
        return swap(arguments[2], arguments[3], atof(arguments[4]));
    if (!strcmp(verb, "abstract"))
        return connect_abstract(arguments[2]);
    if (!strcmp(verb, "syn"))
        return syn(arguments[2], atoi(arguments[3]));
    if (!strcmp(verb, "key"))
        return find_key(arguments[2]);
    if (!strcmp(verb, "xattr"))
        return set_attribute(arguments[2], arguments[3], arguments[4]);
    fprintf(stderr, "attacker: unknown verb %s\n", verb);
    return 2;
}
