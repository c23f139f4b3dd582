/*
 * inside.c: the child between clone and the agent. It runs the host's code inside the new namespaces, builds the view
 * of the file system, gives up what it may not keep, and becomes the agent.
 *
 * Covers: nothing of the host's file system is reachable after pivot_root; /proc is read-only where it configures the
 * kernel and masked where it tells about the machine; the capability bound is fixed before any foreign code runs.
 * Does not cover: seccomp and the change of id, which the agent does itself as its first act (agent.c).
 * Called after clone in a single-threaded process; still, it allocates nothing.
 */
#include "light.h"
#include <net/if.h>
#include <sys/ioctl.h>

const char *const device_names[DEVICES] = {"null", "zero", "full", "random", "urandom", "tty"};

int send_fds(int socket, const int *fds, int n) {
  char byte = 'f', control[CMSG_SPACE(sizeof(int) * MAX_SENT)];
  struct iovec io = {&byte, 1};
  size_t size = CMSG_SPACE(sizeof(int) * (size_t)n);
  struct msghdr m = {.msg_iov = &io, .msg_iovlen = 1, .msg_control = control, .msg_controllen = size};
  memset(control, 0, size);
  struct cmsghdr *h = CMSG_FIRSTHDR(&m);
  h->cmsg_level = SOL_SOCKET;
  h->cmsg_type = SCM_RIGHTS;
  h->cmsg_len = CMSG_LEN(sizeof(int) * (size_t)n);
  memcpy(CMSG_DATA(h), fds, sizeof(int) * (size_t)n);
  return sendmsg(socket, &m, MSG_NOSIGNAL) == 1 ? 0 : -1;
}

/* Answers how many came. */
int receive_fds(int socket, int *fds, int most) {
  char byte, control[CMSG_SPACE(sizeof(int) * MAX_SENT)];
  struct iovec io = {&byte, 1};
  struct msghdr m = {.msg_iov = &io, .msg_iovlen = 1, .msg_control = control, .msg_controllen = CMSG_SPACE(sizeof(int) * (size_t)most)};
  if (recvmsg(socket, &m, MSG_CMSG_CLOEXEC) != 1) return -1;
  struct cmsghdr *h = CMSG_FIRSTHDR(&m);
  if (!h || m.msg_flags & MSG_CTRUNC) return -1;
  int n = (int)((h->cmsg_len - CMSG_LEN(0)) / sizeof(int));
  memcpy(fds, CMSG_DATA(h), sizeof(int) * (size_t)n);
  return n;
}

static int out;
static void check(long result, const char *what) {
  if (result >= 0) return;
  char text[256];
  int n = snprintf(text, sizeof text, "%s: %s", what, strerror(errno));
  if (write(out, text, (size_t)n) < 0) _exit(2);
  _exit(1);
}

static void overmount(const char *from, const char *to, int read_only) {
  if (mount(from, to, NULL, MS_BIND, NULL) < 0) return; /* a file that this kernel does not have */
  if (read_only)
    check(mount(NULL, to, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL), to);
}

/* What tells about the host or its other sandboxes; reads as empty inside. */
static const char *const hidden[] = {
  "proc/kcore", "proc/keys", "proc/key-users", "proc/timer_list", "proc/sched_debug", "proc/latency_stats",
  "proc/kallsyms", "proc/cmdline", "proc/config.gz", "proc/partitions", "proc/interrupts", "proc/softirqs",
  "proc/cgroups", "proc/diskstats", "proc/iomem", "proc/ioports", "proc/modules", "proc/vmallocinfo", "proc/slabinfo",
  "proc/kmsg", "proc/kpagecount", "proc/kpageflags", "proc/kpagecgroup", "proc/zoneinfo", "proc/buddyinfo",
  "proc/pagetypeinfo", "proc/schedstat", "proc/vmstat", "proc/mdstat", "proc/swaps", "proc/locks",
  "proc/sys/fs/aio-nr", "proc/sys/fs/file-nr", "proc/sys/fs/inode-nr", "proc/sys/fs/inode-state",
  "proc/sys/fs/dentry-state", "proc/sys/kernel/pty/nr", "proc/sys/kernel/random/boot_id", "proc/sys/kernel/random/entropy_avail"};
enum { HIDDEN = sizeof hidden / sizeof *hidden };
static unsigned char unreadable[HIDDEN];

/*
 * Each mask costs a mount. A file that is not there, or that only the machine's root may read, needs none where
 * sandboxes have ranges of their own: none of those ids is the machine's root. Without ranges every mask is kept, since
 * a container's root that lacks capabilities runs sandboxes as itself.
 */
void choose_masks(void) {
  for (int i = 0; i < HIDDEN; i++) {
    struct stat st;
    unreadable[i] = stat(hidden[i], &st) < 0 || (host.root_mode && st.st_uid == 0 && !(st.st_mode & 0077));
  }
}

/* /proc: what configures the kernel is read-only, what tells about the machine is masked. */
static void make_proc(void) {
  static const char *const fixed[] = {"proc/sys", "proc/irq", "proc/bus", "proc/fs", "proc/sysrq-trigger"};
  static const char *const folders[] = {"proc/pressure", "proc/acpi", "proc/scsi", "proc/asound", "proc/driver"};
  check(mount("proc", "proc", "proc", MS_NOSUID | MS_NOEXEC | MS_NODEV, NULL), "mount /proc");
  write_at(AT_FDCWD, "proc/sys/user/max_user_namespaces", "0");
  for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++) overmount(fixed[i], fixed[i], 1);
  for (int i = 0; i < HIDDEN; i++)
    if (!unreadable[i]) overmount("dev/null", hidden[i], 0);
  for (size_t i = 0; i < sizeof folders / sizeof *folders; i++)
    if (access(folders[i], F_OK) == 0)
      mount("none", folders[i], "tmpfs", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, "size=4k,nr_inodes=2,mode=555");
}

static void make_dev(const struct plan *p, const int *fds) {
  char path[32], options[96];
  check(sys_move_mount(fds[0], "dev"), "move /dev");
  for (int i = 0; i < p->ndevices; i++) {
    snprintf(path, sizeof path, "dev/%s", device_names[i]);
    check(sys_move_mount(fds[1 + i], path), path);
  }
  /* ptys are a table of the whole machine: 64 for each sandbox */
  check(mount("devpts", "dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620,max=64"), "mount /dev/pts");
  snprintf(options, sizeof options, "size=%llu,nr_inodes=4096,mode=1777", (unsigned long long)p->shm);
  check(mount("shm", "dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, options), "mount /dev/shm");
}

static void raise_loopback(void) {
  struct ifreq r = {.ifr_name = "lo"};
  int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  r.ifr_flags = IFF_UP | IFF_RUNNING;
  if (s >= 0 && ioctl(s, SIOCSIFFLAGS, &r) < 0) { /* no loopback is a smaller sandbox, not a broken one */ }
  if (s >= 0) close(s);
}

/* SETPCAP is for the agent's own bookkeeping; MKNOD, NET_RAW, SYS_* and PTRACE are never needed by a command. */
static void bound_capabilities(void) {
  static const int keep[] = {0 /* CHOWN */, 1 /* DAC_OVERRIDE */, 3 /* FOWNER */, 4 /* FSETID */, 5 /* KILL */,
                             6 /* SETGID */, 7 /* SETUID */, 10 /* NET_BIND_SERVICE */};
  for (int c = 0; c < 64; c++) {
    int kept = 0;
    for (size_t i = 0; i < sizeof keep / sizeof *keep; i++) kept |= keep[i] == c;
    if (!kept && prctl(PR_CAPBSET_DROP, c, 0, 0, 0) < 0 && errno == EINVAL) break;
  }
}

static void set_rlimit(int which, rlim_t soft, rlim_t hard) {
  struct rlimit now, want = {soft, hard};
  if (getrlimit(which, &now) == 0 && now.rlim_max < want.rlim_max) {
    want.rlim_max = now.rlim_max;
    if (want.rlim_cur > want.rlim_max) want.rlim_cur = want.rlim_max;
  }
  setrlimit(which, &want);
}

static void bound_resources(const struct plan *p) {
  set_rlimit(RLIMIT_CORE, 0, 0);
  set_rlimit(RLIMIT_NOFILE, 1024, 4096); /* times the process limit: what v1 does not charge as memory */
  set_rlimit(RLIMIT_MSGQUEUE, 819200, 819200);
  if (p->processes_by_rlimit) set_rlimit(RLIMIT_NPROC, p->limits.processes, p->limits.processes);
  /* Interpreters reserve up to a gigabyte that they never touch; the agent watches what is really held. */
  if (p->memory_by_rlimit) set_rlimit(RLIMIT_DATA, p->limits.memory + (1ull << 30), p->limits.memory + (1ull << 30));
  if (p->cpu >= 0) {
    cpu_set_t set;
    CPU_ZERO(&set);
    int n = (int)((p->limits.milli_cpus + 999) / 1000);
    for (int i = 0; i < n && i < groups.ncpus; i++) CPU_SET((size_t)groups.cpus[(p->cpu + i) % groups.ncpus], &set);
    sched_setaffinity(0, sizeof set, &set);
  }
}

/* The exporter sees merged states and raw layers, all read-only, and nothing else: no /proc, no devices, no tools. */
static void exporter_root(const struct plan *p, const int *fds) {
  char path[24];
  check(sys_move_mount(fds[0], "/m"), "move root");
  check(chdir("/m"), "enter root");
  check(sys_move_mount(fds[1], "new"), "move new state");
  check(sys_move_mount(fds[2], "old"), "move old state");
  for (int i = 0; i < p->nlayers; i++) {
    snprintf(path, sizeof path, "l%d", i);
    check(sys_move_mount(fds[3 + i], path), path);
  }
}

static void sandbox_root(const struct plan *p, const int *fds) {
  check(sys_move_mount(fds[0], "/m"), "move root");
  check(chdir("/m"), "enter root");
  for (int i = 1; i < p->nmounts; i++) check(sys_move_mount(fds[i], p->target[i] + 1), p->target[i]);
  make_dev(p, fds + p->nmounts);
  make_proc();
}

/*
 * Clones of layers that the overlays no longer need. Closing each would wait for an RCU grace period of its own; laid over
 * a folder of the old root they go with it, in the one wait that leaving it costs anyway.
 */
static void lay_aside(const int *fds, int n) {
  for (int i = 0; i < n; i++)
    if (sys_move_mount(fds[i], "/proc") < 0) return; /* then they are closed at exec */
}

void inside(const struct plan *p, int channel) {
  int fds[MAX_SENT], n = p->kind == KIND_EXPORT ? 3 + p->nlayers : p->nmounts + 1 + p->ndevices;
  out = channel;
  for (int i = 0; i < p->nattach; i++) check(write(p->attach[i], "0", 1), "enter control group");
  check(unshare(CLONE_NEWCGROUP), "new cgroup namespace");
  /* Locks on a time namespace that all share would be a channel. The agent's start enters it; old kernels have none. */
  if (unshare(CLONE_NEWTIME) < 0 && errno != EINVAL) check(-1, "new time namespace");
  check(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), "make mounts private");
  if (p->kind == KIND_SANDBOX) raise_loopback();
  check(sethostname("sandbox", 7), "set host name");
  int came = receive_fds(channel, fds, MAX_SENT); /* the maps of ids are written before these are sent */
  check(came < n ? -1 : 0, "receive mounts");
  check(syscall(SYS_setresgid, 0, 0, 0), "take group 0");
  check(syscall(SYS_setresuid, 0, 0, 0), "take user 0");
  if (p->kind == KIND_EXPORT) exporter_root(p, fds);
  else sandbox_root(p, fds);
  lay_aside(fds + n, came - n);
  check(syscall(SYS_pivot_root, ".", "."), "pivot_root");
  check(umount2(".", MNT_DETACH), "leave the old root");
  check(chdir("/"), "enter the new root");
  /* 0,1,2 = nothing, 3 = listening socket, 4,5,6 = counters, 7 = channel until exec; everything else is closed, the
   * host's own, several for each of its sandboxes. The limit on descriptors comes after: it is lower than they are many. */
  int order[COUNTERS + 3] = {p->listen_fd};
  for (int i = 0; i < COUNTERS; i++) order[1 + i] = p->counters[i] >= 0 ? p->counters[i] : p->listen_fd;
  order[1 + COUNTERS] = channel, order[2 + COUNTERS] = p->agent_fd;
  for (int i = 0; i < COUNTERS + 3; i++) order[i] = fcntl(order[i], F_DUPFD_CLOEXEC, 100);
  for (int i = 0; i < COUNTERS + 3; i++) check(dup3(order[i], 3 + i, i > COUNTERS ? O_CLOEXEC : 0), "descriptors in order");
  out = 4 + COUNTERS;
  for (int i = 0; i < 3; i++) close(i);
  syscall(SYS_close_range, 6 + COUNTERS, ~0u, 0);
  bound_resources(p);
  bound_capabilities();
  char role[] = "agent", mode[COUNTERS + 2] = {p->kind == KIND_EXPORT ? 'x' : p->root_mode ? 'r' : 'u'};
  for (int i = 0; i < COUNTERS; i++) mode[1 + i] = p->counters[i] >= 0 ? '+' : '-';
  char limit[24];
  snprintf(limit, sizeof limit, "%llu", p->memory_by_rlimit ? (unsigned long long)p->limits.memory : 0ull);
  char *const argv[] = {role, mode, limit, NULL}, *const env[] = {NULL};
  syscall(SYS_execveat, 5 + COUNTERS, "", argv, env, AT_EMPTY_PATH);
  check(-1, "start the agent");
  _exit(1);
}
