/*
 * system.c: thin wrappers over kernel calls, used by the trusted side and by a child before it becomes the agent.
 * Every descriptor is close-on-exec: what a command inherits is named explicitly, never by omission.
 */
#include "light.h"
#include <linux/capability.h>
#include <linux/magic.h>
#include <sys/fsuid.h>

int sys_fsopen(const char *type) { return (int)syscall(SYS_fsopen, type, 1 /* FSOPEN_CLOEXEC */); }
int sys_fsconfig(int fd, unsigned command, const char *key, const void *value, int aux) {
  return (int)syscall(SYS_fsconfig, fd, command, key, value, aux);
}
int sys_fsmount(int fd, unsigned attributes) { return (int)syscall(SYS_fsmount, fd, 1 /* FSMOUNT_CLOEXEC */, attributes); }
int sys_open_tree(int dir, const char *path, unsigned flags) {
  return (int)syscall(SYS_open_tree, dir, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | flags);
}
int sys_move_mount(int fd, const char *to) {
  return (int)syscall(SYS_move_mount, fd, "", AT_FDCWD, to, MOVE_MOUNT_F_EMPTY_PATH);
}

/* Without a user namespace (-1) the ids stay as they are. */
int sys_idmap(int mount, int userns, int read_only) {
  struct statfs st;
  if (AS_LINUX < 6003 && userns >= 0 && fstatfs(mount, &st) == 0 && st.f_type == TMPFS_MAGIC) return errno = EINVAL, -1;
  struct mount_attr a = {.attr_set = read_only ? MOUNT_ATTR_RDONLY : 0};
  if (userns >= 0) a.attr_set |= MOUNT_ATTR_IDMAP, a.userns_fd = (uint64_t)userns;
  return (int)syscall(SYS_mount_setattr, mount, "", AT_EMPTY_PATH, &a, sizeof a);
}

/* Raw calls: they change this thread only and leave the saved id 0, so that the caller can come back. */
int sys_set_ids(uid_t user, gid_t group) {
  if (user == 0) {
    if (syscall(SYS_setresuid, -1, user, -1) < 0 || syscall(SYS_setresgid, -1, group, -1) < 0) return -1;
  } else if (syscall(SYS_setresgid, -1, group, -1) < 0 || syscall(SYS_setresuid, -1, user, -1) < 0) {
    return -1;
  }
  return raise_capabilities();
}

/* Leaving effective uid 0 clears the effective set; the permitted one stays and is raised again here. */
int raise_capabilities(void) {
  struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct data[2];
  if (syscall(SYS_capget, &head, data) < 0) return -1;
  for (int i = 0; i < 2; i++) data[i].effective = data[i].permitted;
  return (int)syscall(SYS_capset, &head, data);
}

/* Only of files; the capabilities stay. */
void make_files_as(uid_t id) {
  setfsgid(id);
  setfsuid(id);
  raise_capabilities();
}

/* A tmpfs that is mounted nowhere: it lives as long as its descriptor and has no path that anybody could reach. */
int new_tmpfs(uint64_t bytes, uint64_t inodes, const char *mode, unsigned attributes) {
  char text[32];
  int fs = sys_fsopen("tmpfs");
  if (fs < 0) return -1;
  snprintf(text, sizeof text, "%llu", (unsigned long long)bytes);
  int bad = sys_fsconfig(fs, FSCONFIG_STRING, "size", text, 0) < 0;
  snprintf(text, sizeof text, "%llu", (unsigned long long)inodes);
  bad |= sys_fsconfig(fs, FSCONFIG_STRING, "nr_inodes", text, 0) < 0;
  bad |= sys_fsconfig(fs, FSCONFIG_STRING, "mode", mode, 0) < 0;
  bad |= sys_fsconfig(fs, FSCONFIG_CREATE, NULL, NULL, 0) < 0;
  int mount = bad ? -1 : sys_fsmount(fs, attributes);
  int error = errno;
  close(fs);
  errno = error;
  return mount;
}

int sys_exchange(int dir, const char *one, const char *other) {
  return (int)syscall(SYS_renameat2, dir, one, dir, other, 1u << 1 /* RENAME_EXCHANGE */);
}

int write_at(int dir, const char *path, const char *text) {
  int fd = openat(dir, path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return -1;
  ssize_t n = write(fd, text, strlen(text));
  int error = errno;
  close(fd);
  errno = error;
  return n < 0 ? -1 : 0;
}

long read_long_at(int dir, const char *path) {
  char text[64] = {0};
  int fd = openat(dir, path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return -1;
  ssize_t n = read(fd, text, sizeof text - 1);
  close(fd);
  return n > 0 ? atol(text) : -1;
}

double now_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}
