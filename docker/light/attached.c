/*
 * attached.c: layers for kernels that stack only what is mounted in the caller's namespace, Linux before 6.15.
 *
 * The host has two mount namespaces there. In the first as little is mounted as elsewhere, and children copy that one. In the
 * second, where it works, each file system that it keeps has a folder below /m, named after its descriptor; what the overlays
 * of one sandbox are made of is mounted below /m/stage and taken down when they are made: they keep what they need.
 *
 * Covers: no child ever has a layer in its namespace; all mounts are private, and both namespaces end with the host, however
 * it dies; a sandbox sees numbers for its layers. Does not cover: the wait for all processors (an RCU grace period) each time
 * that mounts are taken down, once for each start and each end of a sandbox.
 */
#include "light.h"
#include <sys/xattr.h>

#define MOST_KEPT (1u << 20)
#define STAGE "/m/stage"

static int bare = -1, own = -1, empty_stage = -1, staged;

/* An overlay over layers that are mounted nowhere: tried, since kernels are patched. */
int stacks_detached_layers(void) {
  static const char *const names[] = {"lowerdir+", "lowerdir+", "upperdir", "workdir"};
  int held[4] = {-1, -1, -1, -1}, tmpfs = new_tmpfs(65536, 16, "755", 0);
  int fs = sys_fsopen("overlay"), bad = tmpfs < 0 || fs < 0 || AS_LINUX < 6015;
  if (!bad && !host.root_mode) sys_fsconfig(fs, 0 /* flag */, "userxattr", NULL, 0);
  for (int i = 0; i < 4 && !bad; i++) {
    char name[] = {(char)('a' + i), 0};
    bad = mkdirat(tmpfs, name, 0755) < 0;
    held[i] = bad ? -1 : i < 2 ? sys_open_tree(tmpfs, name, 0) : openat(tmpfs, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
    bad = held[i] < 0 || sys_fsconfig(fs, FSCONFIG_FD, names[i], NULL, held[i]) < 0;
  }
  bad = bad || sys_fsconfig(fs, FSCONFIG_CREATE, NULL, NULL, 0) < 0;
  for (int i = 0; i < 4; i++) if (held[i] >= 0) close(held[i]);
  if (fs >= 0) close(fs);
  if (tmpfs >= 0) close(tmpfs);
  return !bad;
}

/* Since Linux 6.3. */
int tmpfs_maps_ids(void) {
  struct clone_args a = {.exit_signal = SIGCHLD, .flags = CLONE_NEWUSER};
  int tmpfs = new_tmpfs(65536, 4, "755", 0), maps = 1, host_pid = getpid();
  int pid = tmpfs < 0 ? -1 : (int)syscall(SYS_clone3, &a, sizeof a);
  if (pid == 0) for (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0); getppid() == host_pid;) pause();
  if (pid == 0) _exit(0);
  int userns = pid > 0 ? write_maps(pid, host.range_base) : -1;
  if (userns >= 0 && sys_idmap(tmpfs, userns, 0) < 0 && errno == EINVAL) maps = 0;
  if (userns >= 0) close(userns);
  if (pid > 0) kill(pid, SIGKILL), waitpid(pid, NULL, 0);
  if (tmpfs >= 0) close(tmpfs);
  return maps;
}

static void path_of(int mount, char into[24]) { snprintf(into, 24, "/m/%d", mount); }

/* Gives a file system that is mounted nowhere its folder, until let_go(). */
int keep_mount(int mount) {
  char path[24];
  struct stat st;
  if (own < 0) return 0;
  path_of(mount, path);
  if (fstat(mount, &st) < 0) return -1;
  if (S_ISDIR(st.st_mode) ? mkdir(path, 0700) < 0 : mknod(path, S_IFREG | 0600, 0) < 0)
    if (errno != EEXIST) return -1;
  return sys_move_mount(mount, path);
}

void let_go(int mount) {
  char path[24];
  int error = errno;
  if (own < 0 || mount < 0) return;
  path_of(mount, path);
  umount2(path, MNT_DETACH);
  errno = error;
}

int stage_open(void) {
  if (staged) return 0;
  int mount = sys_open_tree(empty_stage, "", AT_EMPTY_PATH);
  int moved = mount < 0 ? -1 : sys_move_mount(mount, STAGE);
  if (moved < 0) failed("open the stage");
  if (mount >= 0) close(mount);
  if (moved < 0) return -1;
  staged = 1;
  return chdir(STAGE);
}

void stage_close(void) {
  if (!staged || chdir("/") < 0) return;
  umount2(STAGE, MNT_DETACH);
  staged = 0;
}

static int stage_at(int mount, const char *name) {
  if (mkdir(name, 0700) < 0 && errno != EEXIST) return -1; /* the folders stay */
  return sys_move_mount(mount, name);
}

/* Layer number `place` of the next overlay. It may lie over one of the last: only the topmost is found. */
int stage(int mount, int place) {
  char name[12];
  snprintf(name, sizeof name, "%d", place);
  return stage_at(mount, name);
}

int stage_upper(int mapped) { return stage_open() < 0 ? -1 : stage_at(mapped, "upper") < 0 ? failed("stage tmpfs") : 0; }

/* By mount(2), whose options take a page: those of fsconfig(2) end after 255 bytes. */
int stage_mount(int layers, int upper, unsigned attributes) {
  char options[4096];
  unsigned long flags = attributes & MOUNT_ATTR_RDONLY ? MS_RDONLY : 0;
  if (attributes & MOUNT_ATTR_NOSUID) flags |= MS_NOSUID;
  if (attributes & MOUNT_ATTR_NODEV) flags |= MS_NODEV;
  if (attributes & MOUNT_ATTR_NOEXEC) flags |= MS_NOEXEC;
  int n = snprintf(options, sizeof options, "metacopy=off,index=off,xino=off,redirect_dir=nofollow%s", host.root_mode ? "" : ",userxattr");
  if (upper >= 0) n += snprintf(options + n, sizeof options - (size_t)n, ",upperdir=upper/r%d,workdir=upper/w%d", upper, upper);
  for (int i = 0; i < layers; i++) n += snprintf(options + n, sizeof options - (size_t)n, "%s%d", i ? ":" : ",lowerdir=", i);
  if (mkdir("made", 0700) < 0 && errno != EEXIST) return failed("stage overlay");
  if (mount("overlay", "made", "overlay", flags, options) < 0) return failed("mount overlay");
  int mount = sys_open_tree(AT_FDCWD, "made", 0);
  return mount < 0 ? failed("detach overlay") : mount;
}

/* For children: the namespace that they copy, and back. */
int leave_for_bare(void) { return own < 0 ? 0 : setns(bare, CLONE_NEWNS); }
int return_from_bare(void) { return own < 0 ? 0 : setns(own, CLONE_NEWNS); }

static int new_folder(const char *path, unsigned inodes) {
  int mount = new_tmpfs(0, inodes, "700", MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
  return mount < 0 || sys_move_mount(mount, path) < 0 ? failed(path) : mount;
}

static int keep_image(struct image *im) {
  for (int i = 0; i < im->nmounts; i++)
    for (int k = 0; k < im->nlower[i]; k++)
      if (keep_mount(im->lower[i][k]) < 0) return failed("mount the folders of an image");
  return 0;
}

/* One overlay, so that the start says what is missing. */
static int try_attached_layers(void) {
  int tmpfs = new_tmpfs(65536, 16, "755", 0), bad = tmpfs < 0 || keep_mount(tmpfs) < 0;
  int held[2] = {-1, -1};
  bad = bad || mkdirat(tmpfs, "r0", 0755) < 0 || mkdirat(tmpfs, "w0", 0755) < 0 || mkdirat(tmpfs, "l", 0755) < 0 || stage_open() < 0;
  for (int i = 0; i < 2 && !bad; i++)
    bad = (held[i] = sys_open_tree(tmpfs, i ? "" : "l", i ? AT_EMPTY_PATH : 0)) < 0 || (i ? stage_upper(held[i]) : stage(held[i], 0)) < 0;
  if (bad) failed("stack layers");
  int mount = bad ? -1 : stage_mount(1, 0, 0), upper = bad ? -1 : openat(tmpfs, "r0", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  bad = bad || mount < 0;
  if (!bad && !host.root_mode && fsetxattr(upper, "user.overlay.opaque", "y", 1, 0) < 0)
    bad = failed("mark folders on tmpfs as an ordinary user (Linux can since 6.6)") < 0;
  stage_close();
  let_go(tmpfs);
  int all[] = {mount, upper, held[0], held[1], tmpfs};
  for (int i = 0; i < 5; i++) if (all[i] >= 0) close(all[i]);
  return bad ? -1 : 0;
}

int attached_enter(void) {
  bare = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
  if (bare < 0 || unshare(CLONE_NEWNS) < 0) return failed("make a second mount namespace");
  own = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
  if (own < 0) return failed("open a mount namespace");
  int kept = new_folder("/m", MOST_KEPT);
  if (kept < 0 || mkdir(STAGE, 0700) < 0 || mkdir("/m/empty", 0700) < 0) return failed("make the host's folders");
  empty_stage = new_folder("/m/empty", MAX_DEPTH + MAX_LOWERS + 16);
  if (empty_stage < 0) return -1;
  close(kept);
  for (int i = 0; i < MAX_IMAGES; i++) if (images[i].used && keep_image(&images[i]) < 0) return -1;
  for (int i = 0; i < DEVICES && !host.root_mode; i++) if (keep_mount(host.devices[i]) < 0) return failed("mount devices");
  if (leave_for_bare() < 0 || return_from_bare() < 0) return failed("go between mount namespaces (it takes CAP_SYS_CHROOT)");
  return try_attached_layers();
}
