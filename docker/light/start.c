/*
 * start.c: brings the host into its own place before the first sandbox.
 *
 * Covers: the host lives in a private mount namespace whose root holds nothing but /proc and one empty folder, so that a
 * crash leaves no mount behind and a cloned child copies three mounts instead of the machine's. As an ordinary user it
 * first becomes root of a user namespace of its own; sandboxes are nested in it and map one id.
 * Does not cover: machines that forbid user namespaces to users; the start then fails with the reason.
 */
#include "light.h"
#include <sys/file.h>

#define RANGE_FIRST 0x70000000u /* above every id of /etc/subuid and below what 32-bit tools misread */
#define RANGES_PER_HOST 1024u
#define RANGE_BLOCKS 32

struct host host = {.sweeper = -1, .run_dir = -1, .range_count = 1};

static int is_full_root(void) {
  unsigned long inside = 1, outside = 1, length = 0;
  FILE *f = fopen("/proc/self/uid_map", "re");
  int n = f ? fscanf(f, "%lu %lu %lu", &inside, &outside, &length) : 0;
  if (f) fclose(f);
  if (geteuid() != 0 || n != 3 || inside != 0 || length < 0xf0000000u) return 0;
  return prctl(PR_CAPBSET_READ, 21 /* SYS_ADMIN */, 0, 0, 0) == 1 && prctl(PR_CAPBSET_READ, 27 /* MKNOD */, 0, 0, 0) == 1;
}

static int become_own_root(void) {
  char map[48];
  unsigned user = geteuid(), group = getegid();
  prctl(PR_SET_DUMPABLE, 1, 0, 0, 0); /* an unreadable binary (0711) would hide our own /proc files from us */
  if (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0) return failed("make a user namespace");
  write_at(AT_FDCWD, "/proc/self/setgroups", "deny");
  snprintf(map, sizeof map, "0 %u 1", user);
  if (write_at(AT_FDCWD, "/proc/self/uid_map", map) < 0) return failed("map the user");
  snprintf(map, sizeof map, "0 %u 1", group);
  if (write_at(AT_FDCWD, "/proc/self/gid_map", map) < 0) return failed("map the group");
  return 0;
}

/* Hosts of one machine take disjoint blocks of id ranges; the lock ends with the process, however it dies. */
static int take_ranges(void) {
  for (unsigned i = 0; i < RANGE_BLOCKS; i++) {
    char name[32];
    snprintf(name, sizeof name, "../range-%u", i);
    int fd = openat(host.run_dir, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) return failed("open range lock");
    if (flock(fd, LOCK_EX | LOCK_NB) == 0) {
      host.range_base = RANGE_FIRST + i * RANGES_PER_HOST * RANGE_LENGTH;
      host.range_count = RANGES_PER_HOST;
      return 0; /* the descriptor stays open on purpose */
    }
    close(fd);
  }
  errno = EAGAIN;
  return failed("all id ranges are taken by other workers");
}

int host_start(const char *run, const char *agent) {
  char owner[96];
  struct rlimit files;
  prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
  }
  umask(0);
  host.root_mode = is_full_root();
  host.run_dir = open(run, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  host.run_path = run;
  host.agent_fd = open(agent, O_PATH | O_CLOEXEC);
  if (host.run_dir < 0 || host.agent_fd < 0) return failed("open run folder and agent");
  owner_name(owner, sizeof owner);
  if (host.root_mode && (take_ranges() < 0 || cgroups_start(owner) < 0)) return -1;
  if (!host.root_mode && groups.ncpus == 0) cpus_of_process();
  host.sweeper = sweeper_start(owner);
  if (host.sweeper < 0) return failed("start the sweeper");
  if (!host.root_mode) {
    if (become_own_root() < 0) return -1;
    for (int i = 0; i < DEVICES; i++) {
      char path[32];
      snprintf(path, sizeof path, "/dev/%s", device_names[i]);
      if ((host.devices[i] = sys_open_tree(AT_FDCWD, path, 0)) < 0) return failed(path);
    }
  } else if (unshare(CLONE_NEWNS) < 0) {
    return failed("make a mount namespace");
  }
  if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) return failed("make mounts private");
  host.proc = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC); /* until the host enters its root */
  host.attached = !stacks_detached_layers();
  host.maps_tmpfs = host.root_mode && (!host.attached || tmpfs_maps_ids());
  if (!host.maps_tmpfs) host.range_count = 1;
  return host.proc < 0 ? failed("open /proc") : 0;
}

int host_enter(void) {
  int root = new_tmpfs(65536, 16, "755", MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);
  int proc = sys_open_tree(AT_FDCWD, "/proc", host.root_mode ? 0 : AT_RECURSIVE);
  if (root < 0 || proc < 0) return failed("make the host's root");
  if (mkdirat(root, "m", 0755) < 0 || mkdirat(root, "proc", 0755) < 0) return failed("make the host's root");
  /* By path: the descriptor of the run folder belongs to the namespace that was left. */
  if (sys_move_mount(root, host.run_path) < 0) return failed("mount the host's root");
  if (fchdir(root) < 0 || sys_move_mount(proc, "proc") < 0) return failed("mount /proc");
  if (syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0 || chdir("/") < 0) return failed("enter the host's root");
  choose_masks();
  close(host.proc);
  host.proc = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  close(root);
  close(proc);
  if (host.proc < 0) return failed("open /proc");
  return host.attached ? attached_enter() : 0;
}
