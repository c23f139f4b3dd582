/*
 * create.c: makes one sandbox or one exporter.
 *
 * Covers: each sandbox has its own id range, and its user namespace is owned by that range, so that the kernel's
 * per-user allowances (inotify, pending signals, message queues, pipes) are its own and not the host's. The overlay is
 * mounted by the host from descriptors, with attributes a sandbox cannot set, and no host path shows in its mount table.
 * An upper folder becomes a layer only after all that ran in its sandbox is gone: the kernel would accept a live one.
 * Does not cover: kernels without detached layers (older than 6.15); the host then fails to start and says so (start.c).
 */
#include "light.h"
#include <sys/fsuid.h>

enum { AGENT_NICE = -15 };
static char why[512];
const char *create_error(void) { return why; }
int failed(const char *what) {
  snprintf(why, sizeof why, "%s: %s", what, strerror(errno));
  return -1;
}

static int overlay_message(int fs, const char *what) {
  char text[300];
  ssize_t n = read(fs, text, sizeof text - 1);
  if (n <= 0) return failed(what);
  text[n] = 0;
  snprintf(why, sizeof why, "%s: %s: %s", what, strerror(errno), text);
  return -1;
}

/*
 * Clones of layers. Closing a detached mount dissolves it, so all are held until CREATE; and each close waits for an RCU
 * grace period (tens of ms on a busy machine), so none is closed here: the child takes them along (inside.c).
 */
static struct {
  int fds[MAX_MOUNTS * (MAX_DEPTH + MAX_LOWERS + 4)], n;
} spent;
static void retire(const int *fds, int n) {
  for (int i = 0; i < n; i++) spent.fds[spent.n++] = fds[i];
}

struct stack {
  int fs, held[MAX_DEPTH + MAX_LOWERS + 4], n, userns;
};

static int add_lower(struct stack *s, int fd, int *idmappable) {
  int clone = sys_open_tree(fd, "", AT_EMPTY_PATH);
  if (clone < 0) return failed("clone a layer");
  s->held[s->n++] = clone;
  if (host.root_mode && *idmappable != 0) {
    int r = sys_idmap(clone, s->userns, 1);
    if (r < 0 && errno != EINVAL) return failed("map ids of a layer");
    *idmappable = r == 0; /* EINVAL: the file system cannot (an overlay); its files then belong to nobody inside */
  }
  return sys_fsconfig(s->fs, FSCONFIG_FD, "lowerdir+", NULL, clone) < 0 ? overlay_message(s->fs, "add a layer") : 0;
}

static int open_layer(const struct layer *l, int mount, int userns) {
  char name[8];
  snprintf(name, sizeof name, "r%d", mount);
  int fd = sys_open_tree(l->mount, name, 0);
  if (fd >= 0 && host.root_mode && sys_idmap(fd, userns, 1) < 0) {
    close(fd);
    return -1;
  }
  return fd;
}

static int add_layers(struct stack *s, struct layer *const *below, int depth, int mount) {
  for (int i = 0; i < depth; i++) {
    if (!below[i]->has[mount]) continue;
    int fd = open_layer(below[i], mount, s->userns);
    if (fd < 0) return failed("open a frozen layer");
    s->held[s->n++] = fd;
    if (sys_fsconfig(s->fs, FSCONFIG_FD, "lowerdir+", NULL, fd) < 0) return overlay_message(s->fs, "add a frozen layer");
  }
  return 0;
}

static int stack_begin(struct stack *s, int userns) {
  *s = (struct stack){.fs = sys_fsopen("overlay"), .userns = userns};
  if (s->fs < 0) return failed("open overlay");
  static const char *const off[] = {"metacopy", "index", "xino"};
  for (int i = 0; i < 3; i++) sys_fsconfig(s->fs, FSCONFIG_STRING, off[i], "off", 0);
  sys_fsconfig(s->fs, FSCONFIG_STRING, "redirect_dir", "nofollow", 0);
  if (!host.root_mode) sys_fsconfig(s->fs, 0 /* flag */, "userxattr", NULL, 0); /* only over our own layers */
  return 0;
}

static int stack_drop(struct stack *s) {
  retire(s->held, s->n);
  close(s->fs);
  return -1;
}

static int stack_end(struct stack *s, uid_t owner, unsigned attributes) {
  int mount = -1;
  /* The mounter's file-system id must lie in the mapped range, else the overlay silently becomes read-only. */
  if (owner) setfsgid(owner), setfsuid(owner), raise_capabilities();
  int r = sys_fsconfig(s->fs, FSCONFIG_CREATE, NULL, NULL, 0);
  if (owner) setfsuid(0), setfsgid(0), raise_capabilities();
  if (r < 0) overlay_message(s->fs, "mount overlay");
  else if ((mount = sys_fsmount(s->fs, attributes)) < 0) failed("attach overlay");
  stack_drop(s);
  return mount;
}

static int image_lowers(struct stack *s, struct image *im, int mount) {
  for (int i = 0; i < im->nlower[mount]; i++)
    if (add_lower(s, im->lower[mount][i], &im->idmappable[mount][i]) < 0) return -1;
  return 0;
}

/* One writable overlay of a sandbox: frozen layers above the image's folders, upper on the sandbox's own tmpfs. */
static int writable(const struct create_request *q, int mount, int mapped, int userns, uid_t owner) {
  struct stack s;
  char name[8];
  if (stack_begin(&s, userns) < 0) return -1;
  int bad = add_layers(&s, q->below, q->depth, mount) < 0 || image_lowers(&s, &images[q->image], mount) < 0;
  snprintf(name, sizeof name, "r%d", mount);
  int upper = openat(mapped, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
  name[0] = 'w';
  int work = openat(mapped, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
  bad = bad || sys_fsconfig(s.fs, FSCONFIG_FD, "upperdir", NULL, upper) < 0 || sys_fsconfig(s.fs, FSCONFIG_FD, "workdir", NULL, work) < 0;
  if (bad && !why[0]) overlay_message(s.fs, "set upper folder");
  int fd = bad ? stack_drop(&s) : stack_end(&s, owner, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);
  if (upper >= 0) close(upper);
  if (work >= 0) close(work);
  return fd;
}

static int read_only(struct create_request const *q, struct layer *const *below, int depth, int userns, uid_t owner) {
  struct stack s;
  int none = -1, empty = new_tmpfs(4096, 2, "755", MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);
  if (empty < 0 || stack_begin(&s, userns) < 0) return -1;
  int bad = add_layers(&s, below, depth, q->mount) < 0 || image_lowers(&s, &images[q->image], q->mount) < 0 ||
            add_lower(&s, empty, &none) < 0; /* an overlay without upper needs two layers */
  retire(&empty, 1);
  return bad ? stack_drop(&s) : stack_end(&s, owner, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
}

/* Device nodes of its own: on a shared one, flock is a channel between sandboxes. In user mode they must be shared. */
static int make_devices(int *fds) {
  int dev = new_tmpfs(65536, 32, "755", MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC), n = 0;
  static const struct { unsigned major, minor; } numbers[DEVICES] = {{1, 3}, {1, 5}, {1, 7}, {1, 8}, {1, 9}, {5, 0}};
  if (dev < 0) return failed("make /dev");
  fds[n++] = dev;
  for (int i = 0; i < DEVICES; i++) {
    if (host.root_mode) {
      if (mknodat(dev, device_names[i], S_IFCHR | 0666, makedev(numbers[i].major, numbers[i].minor)) < 0) return failed("make device");
      fchmodat(dev, device_names[i], 0666, 0);
      continue;
    }
    int fd = openat(dev, device_names[i], O_CREAT | O_WRONLY | O_CLOEXEC, 0666);
    if (fd >= 0) close(fd);
    fds[n++] = sys_open_tree(host.devices[i], "", AT_EMPTY_PATH);
  }
  mkdirat(dev, "pts", 0755);
  mkdirat(dev, "shm", 01777);
  symlinkat("pts/ptmx", dev, "ptmx");
  symlinkat("/proc/self/fd", dev, "fd");
  symlinkat("/proc/self/fd/0", dev, "stdin");
  symlinkat("/proc/self/fd/1", dev, "stdout");
  symlinkat("/proc/self/fd/2", dev, "stderr");
  return n;
}

static int sandbox_mounts(const struct create_request *q, struct sandbox *s, int userns, uid_t owner, int *fds) {
  struct image *im = &images[q->image];
  char name[8];
  int n = 0;
  s->tmpfs = new_tmpfs(q->limits.disk, q->limits.inodes, "755", MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
  if (s->tmpfs < 0) return failed("make tmpfs");
  for (int i = 0; i < im->nmounts; i++)
    for (int k = 0; k < 2; k++) {
      snprintf(name, sizeof name, "%c%d", "rw"[k], i);
      if (mkdirat(s->tmpfs, name, 0755) < 0) return failed("make upper folder");
    }
  int mapped = s->tmpfs;
  if (host.root_mode) {
    mapped = sys_open_tree(s->tmpfs, "", AT_EMPTY_PATH);
    if (mapped < 0 || sys_idmap(mapped, userns, 0) < 0) return failed("map ids of tmpfs");
  }
  for (int i = 0; i < im->nmounts; i++) {
    int fd = writable(q, i, mapped, userns, owner);
    if (fd < 0) n = -1;
    if (n >= 0) fds[n++] = fd;
  }
  if (mapped != s->tmpfs) retire(&mapped, 1);
  if (n < 0) return -1;
  int devices = make_devices(fds + n);
  return devices < 0 ? -1 : n + devices;
}

static int in_list(struct layer *const *list, int n, const struct layer *l) {
  for (int i = 0; i < n; i++) if (list[i] == l) return 1;
  return 0;
}

/* Raw layers that only one of the two states has: paths outside them are equal in both. */
static int differing(const struct create_request *q, struct layer **found) {
  int n = 0;
  for (int i = 0; i < q->depth; i++)
    if (!in_list(q->old, q->old_depth, q->below[i]) && q->below[i]->has[q->mount]) found[n++] = q->below[i];
  for (int i = 0; i < q->old_depth; i++)
    if (!in_list(q->below, q->depth, q->old[i]) && q->old[i]->has[q->mount]) found[n++] = q->old[i];
  return n;
}

static int export_mounts(const struct create_request *q, int userns, uid_t owner, int *fds) {
  struct layer *raw[2 * MAX_DEPTH];
  char name[24];
  int count = differing(q, raw), n = 0;
  if (count > MAX_SENT - 4) return errno = E2BIG, failed("the two states are too many layers apart");
  int root = new_tmpfs(1 << 20, 256, "755", MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
  if (root < 0 || mkdirat(root, "new", 0755) < 0 || mkdirat(root, "old", 0755) < 0) return failed("make exporter root");
  fds[n++] = root;
  fds[n++] = read_only(q, q->below, q->depth, userns, owner);
  fds[n++] = read_only(q, q->old, q->old_depth, userns, owner);
  if (fds[1] < 0 || fds[2] < 0) return -1;
  for (int i = 0; i < count; i++) {
    snprintf(name, sizeof name, "l%d", i);
    if (mkdirat(root, name, 0755) < 0 || (fds[n++] = open_layer(raw[i], q->mount, userns)) < 0) return failed("open a frozen layer");
  }
  return n;
}

static int listen_at(uint32_t id) {
  struct sockaddr_un a = {.sun_family = AF_UNIX};
  int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  snprintf(a.sun_path, sizeof a.sun_path, "/proc/self/fd/%d/%u", host.run_dir, id);
  if (s < 0 || bind(s, (struct sockaddr *)&a, sizeof a) < 0 || listen(s, 1) < 0) {
    if (s >= 0) close(s);
    return failed("listen");
  }
  return s;
}

static int write_maps(int pid, uint32_t base) {
  char path[48], map[48];
  if (host.root_mode) snprintf(map, sizeof map, "0 %u %u", base, RANGE_LENGTH);
  else snprintf(map, sizeof map, "0 0 1");
  snprintf(path, sizeof path, "%d/uid_map", pid);
  if (write_at(host.proc, path, map) < 0) return failed("write uid map");
  snprintf(path, sizeof path, "%d/gid_map", pid);
  if (write_at(host.proc, path, map) < 0) return failed("write gid map");
  snprintf(path, sizeof path, "%d/ns/user", pid);
  int fd = openat(host.proc, path, O_RDONLY | O_CLOEXEC);
  return fd < 0 ? failed("open user namespace") : fd;
}

static void make_plan(const struct create_request *q, struct plan *p) {
  struct image *im = &images[q->image];
  struct layer *raw[2 * MAX_DEPTH];
  p->kind = q->kind;
  p->root_mode = host.root_mode;
  p->agent_fd = host.agent_fd;
  p->limits = q->limits;
  p->nmounts = im->nmounts;
  memcpy(p->target, im->target, sizeof p->target);
  p->nlayers = q->kind == KIND_EXPORT ? differing(q, raw) : 0;
  p->ndevices = host.root_mode ? 0 : DEVICES;
  p->shm = q->limits.memory / 8 < (64u << 20) ? q->limits.memory / 8 : 64u << 20;
  p->memory_by_rlimit = !(groups.mask & 1u << CG_MEMORY);
  p->processes_by_rlimit = !(groups.mask & 1u << CG_PIDS);
  p->cpu = groups.mask & 1u << CG_CPUSET || groups.ncpus == 0 ? -1 : groups.next_cpu++ % groups.ncpus;
}

static int clone_child(const struct plan *p, struct sandbox *s, int into, uint32_t base, int ends[2]) {
  struct clone_args a = {.exit_signal = SIGCHLD, .pidfd = (uint64_t)(uintptr_t)&s->pidfd,
    .flags = CLONE_PIDFD | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNET};
  if (into >= 0) a.cgroup = (uint64_t)into, a.flags |= CLONE_INTO_CGROUP;
  if (host.root_mode && sys_set_ids(base, base) < 0) return failed("take the sandbox's ids");
  int pid = (int)syscall(SYS_clone3, &a, sizeof a);
  if (pid == 0) {
    close(ends[0]);
    inside(p, ends[1]);
  }
  int error = errno;
  if (host.root_mode && sys_set_ids(0, 0) < 0) abort(); /* never go on as somebody else */
  errno = error;
  return pid < 0 ? failed("clone") : pid;
}

/* The child gets its mounts and as many spent clones as a message holds; the sweeper closes the others. */
static int send_mounts(int channel, int *fds, int n) {
  int extra = 0;
  while (n > 0 && extra < spent.n && n + extra < MAX_SENT) fds[n + extra] = spent.fds[extra], extra++;
  int sent = n > 0 ? send_fds(channel, fds, n + extra) : -1;
  for (int i = extra; i < spent.n; i++) sweep(host.sweeper, "-", spent.fds[i]);
  spent.n = 0;
  return n > 0 && sent < 0 ? failed("send mounts") : n;
}

int sandbox_create(const struct create_request *q, struct sandbox *s) {
  struct plan p = {0};
  int fds[2 * MAX_DEPTH + 32], n = -1, into = -1, ends[2] = {-1, -1}, userns = -1;
  uint32_t base = host.range_base + RANGE_LENGTH * (host.serial % host.range_count);
  s->id = q->id, s->serial = host.serial++, s->kind = q->kind, s->image = q->image, s->tmpfs = s->pid = s->pidfd = -1;
  snprintf(s->name, sizeof s->name, "s%u", s->serial);
  why[0] = 0;
  make_plan(q, &p);
  for (size_t i = 0; i < sizeof fds / sizeof *fds; i++) fds[i] = -1;
  p.listen_fd = listen_at(q->id);
  if (p.listen_fd >= 0 && cgroups_create(s->name, &q->limits, p.attach, &p.nattach, &into) < 0) failed("make control groups");
  p.counters[0] = cgroups_oom_file(s->name), p.counters[1] = cgroups_pressure_file(s->name), p.counters[2] = cgroups_quota_file(s->name);
  if (!why[0] && socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0) failed("make socket pair");
  if (!why[0]) s->pid = clone_child(&p, s, into, base, ends);
  if (s->pid > 0) userns = write_maps(s->pid, base);
  /* Within its control group the agent goes before its own commands, however many they are (agent-spawn.c). */
  if (s->pid > 0 && host.root_mode && groups.mask & 1u << CG_CPU) setpriority(PRIO_PROCESS, (id_t)s->pid, AGENT_NICE);
  uid_t owner = host.root_mode ? base : 0;
  if (userns >= 0) n = q->kind == KIND_EXPORT ? export_mounts(q, userns, owner, fds) : sandbox_mounts(q, s, userns, owner, fds);
  n = send_mounts(ends[0], fds, n);
  if (n > 0 && q->kind == KIND_SANDBOX)
    for (; s->nmounts < images[q->image].nmounts; s->nmounts++) s->mounts[s->nmounts] = fds[s->nmounts], fds[s->nmounts] = -1;
  for (size_t i = 0; i < sizeof fds / sizeof *fds; i++) if (fds[i] >= 0) close(fds[i]);
  for (int i = 0; i < p.nattach; i++) close(p.attach[i]);
  int spare[] = {p.listen_fd, p.counters[0], p.counters[1], p.counters[2], into, ends[1], userns};
  for (int i = 0; i < 4 + COUNTERS; i++) if (spare[i] >= 0) close(spare[i]);
  s->channel = ends[0];
  for (int i = 0; i < q->depth; i++) (s->below[i] = q->below[i])->references++;
  s->depth = q->depth;
  return n > 0 ? 0 : -1;
}
