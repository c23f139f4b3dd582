/*
 * create.c: makes one sandbox or one exporter.
 *
 * Covers: each sandbox has its own id range, and its user namespace is owned by that range, so that the kernel's
 * per-user allowances (inotify, pending signals, message queues, pipes) are its own and not the host's.
 * An upper folder becomes a layer only after all that ran in its sandbox is gone: the kernel would accept a live one.
 * Does not cover: where tmpfs cannot map ids (Linux before 6.3) the sandboxes of a host share one range, and with it those
 * allowances; what is in one is still out of reach for the others.
 */
#include "light.h"

enum { AGENT_NICE = -15 };
static char why[512];
const char *create_error(void) { return why; }
int failed(const char *what) {
  snprintf(why, sizeof why, "%s: %s", what, strerror(errno));
  return -1;
}
int failed_since(const char *what, const char *said) {
  snprintf(why, sizeof why, "%s: %s: %s", what, strerror(errno), said);
  return -1;
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

/* The sandbox's tmpfs, with a folder for what it writes to each mount, and one for the overlay's own use. */
static int make_uppers(const struct create_request *q, struct sandbox *s) {
  char name[8];
  s->tmpfs = new_tmpfs(q->limits.disk, q->limits.inodes, "755", MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
  if (s->tmpfs < 0 || keep_mount(s->tmpfs) < 0) return failed("make tmpfs");
  for (int i = 0; i < images[q->image].nmounts; i++)
    for (int k = 0; k < 2; k++) {
      snprintf(name, sizeof name, "%c%d", "rw"[k], i);
      if (mkdirat(s->tmpfs, name, 0755) < 0) return failed("make upper folder");
    }
  return 0;
}

static int sandbox_mounts(const struct create_request *q, struct sandbox *s, int userns, uid_t owner, int *fds) {
  int n = 0;
  if (unmapped_files()) make_files_as(owner);
  int made = make_uppers(q, s), mapped = s->tmpfs;
  if (unmapped_files()) make_files_as(0);
  if (made < 0) return -1;
  if (host.root_mode || host.attached) {
    mapped = sys_open_tree(s->tmpfs, "", AT_EMPTY_PATH);
    if (mapped < 0) return failed("clone tmpfs");
    retire(&mapped, 1);
    if (host.maps_tmpfs && sys_idmap(mapped, userns, 0) < 0) return failed("map ids of tmpfs");
    if (host.attached && stage_upper(mapped) < 0) return -1;
  }
  for (int i = 0; i < images[q->image].nmounts; i++) {
    int fd = overlay_writable(q, i, mapped, userns, owner);
    if (fd < 0) return -1;
    fds[n++] = fd;
  }
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
  fds[n++] = overlay_read_only(q, q->below, q->depth, userns, owner);
  fds[n++] = overlay_read_only(q, q->old, q->old_depth, userns, owner);
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

int unmapped_files(void) { return host.root_mode && !host.maps_tmpfs; }

int write_maps(int pid, uint32_t base) {
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
  if (leave_for_bare() < 0) return failed("enter the namespace for children");
  int ready = !host.root_mode || sys_set_ids(base, base) == 0;
  int pid = ready ? (int)syscall(SYS_clone3, &a, sizeof a) : -1;
  if (pid == 0) {
    close(ends[0]);
    inside(p, ends[1]);
  }
  int error = errno;
  if ((host.root_mode && sys_set_ids(0, 0) < 0) || return_from_bare() < 0) abort(); /* never go on as somebody else */
  errno = error;
  return pid < 0 ? failed(ready ? "clone" : "take the sandbox's ids") : pid;
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
