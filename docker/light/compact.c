/*
 * compact.c: makes one layer of many, so that a chain of frozen states stays short however long an episode lives.
 *
 * Covers: a child of the host does it, so no sandbox waits; layers are frozen, so what is read stands still; links are
 * never followed and every path is opened below its layer; hard links within a layer, holes, modes, owners, times and
 * attributes stay; deletions and opaque folders are kept, because layers below may have what they hide.
 * Does not cover: folders deeper than PATH_MAX, and hard links between layers (the overlay has none); the first ends the
 * merge, and the chain stays as it was.
 */
#include "light.h"
#include <dirent.h>
#include <linux/openat2.h>
#include <sys/xattr.h>

#define XATTR_ROOM 65536
#define LINK_SLOTS 4096u

struct set { uint64_t bits[2]; }; /* layers of a folder, by their place in the list: MAX_DEPTH of them */
struct folder {
  char *path;
  struct set in;
};
struct link {
  int layer;
  ino_t inode;
  char *path;
  struct link *next;
};
static struct {
  int layer[MAX_DEPTH], n, into;
  struct folder *queue;
  size_t queued, room;
  struct link *links[LINK_SLOTS];
} merge;
static uint8_t piece[1u << 20];

static int in_set(const struct set *s, int i) { return (int)(s->bits[i / 64] >> (i % 64) & 1); }
static void add_to_set(struct set *s, int i) { s->bits[i / 64] |= 1ull << (i % 64); }
static const char *overlay_prefix(void) { return host.root_mode ? "trusted.overlay." : "user.overlay."; }

static int open_below(int dir, const char *path, uint64_t flags) {
  uint64_t extra = flags & O_PATH ? O_CLOEXEC | O_NOFOLLOW : O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK;
  struct open_how how = {.flags = flags | extra, .resolve = RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH};
  return (int)syscall(SYS_openat2, dir, *path ? path : ".", &how, sizeof how);
}
static int join(char *into, const char *folder, const char *name) {
  return snprintf(into, PATH_MAX, "%s%s%s", folder, *folder ? "/" : "", name) < PATH_MAX ? 0 : (errno = ENAMETOOLONG, -1);
}
static int is_whiteout(const struct stat *st) { return S_ISCHR(st->st_mode) && st->st_rdev == 0; }

static int is_opaque(int fd) {
  char name[64], value = 0;
  snprintf(name, sizeof name, "%sopaque", overlay_prefix());
  return fgetxattr(fd, name, &value, 1) == 1 && value == 'y';
}

static int set_opaque(int fd) {
  char name[64];
  snprintf(name, sizeof name, "%sopaque", overlay_prefix());
  return fsetxattr(fd, name, "y", 1, 0);
}

/* The overlay's own marks say how a layer lies over others; a merged one gets its own. */
static int copy_attributes(int from, int to) {
  static char names[XATTR_ROOM], value[XATTR_ROOM];
  ssize_t n = flistxattr(from, names, sizeof names);
  for (char *name = names; n > 0 && name < names + n; name += strlen(name) + 1) {
    if (!strncmp(name, overlay_prefix(), strlen(overlay_prefix())) || !strncmp(name, "security.", 9)) continue;
    ssize_t length = fgetxattr(from, name, value, sizeof value);
    if (length >= 0 && fsetxattr(to, name, value, (size_t)length, 0) < 0) return -1;
  }
  return n < 0 && errno != ENOTSUP ? -1 : 0;
}

static int copy_look(int from, int to, const struct stat *st) {
  const struct timespec times[2] = {st->st_atim, st->st_mtim};
  if (fchown(to, st->st_uid, st->st_gid) < 0 || fchmod(to, st->st_mode & 07777) < 0) return -1;
  return copy_attributes(from, to) < 0 ? -1 : futimens(to, times);
}

static int copy_data(int from, int to, off_t size) {
  if (ftruncate(to, size) < 0) return -1;
  for (off_t at = 0, end; (at = lseek(from, at, SEEK_DATA)) >= 0; at = end) {
    if ((end = lseek(from, at, SEEK_HOLE)) < 0) return -1;
    for (off_t done = at; done < end;) {
      ssize_t n = pread(from, piece, (size_t)(end - done) < sizeof piece ? (size_t)(end - done) : sizeof piece, done);
      if (n <= 0 || pwrite(to, piece, (size_t)n, done) != n) return -1;
      done += n;
    }
  }
  return errno == ENXIO ? 0 : -1;
}

/* Another name of a file that is there already: 1 when the link was made. */
static int link_known(int layer, const struct stat *st, int into, const char *name) {
  for (struct link *l = merge.links[st->st_ino % LINK_SLOTS]; l; l = l->next)
    if (l->layer == layer && l->inode == st->st_ino) return linkat(merge.into, l->path, into, name, 0) == 0 ? 1 : -1;
  return 0;
}

static int remember_link(int layer, const struct stat *st, const char *path) {
  struct link *l = malloc(sizeof *l), **slot = &merge.links[st->st_ino % LINK_SLOTS];
  if (!l || !(l->path = strdup(path))) return -1;
  l->layer = layer, l->inode = st->st_ino, l->next = *slot;
  *slot = l;
  return 0;
}

static int copy_file(int layer, const char *path, const struct stat *st, int into, const char *name) {
  int known = st->st_nlink > 1 ? link_known(layer, st, into, name) : 0;
  if (known) return known < 0 ? -1 : 0;
  int from = open_below(merge.layer[layer], path, O_RDONLY);
  int to = from < 0 ? -1 : openat(into, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  int bad = to < 0 || copy_data(from, to, st->st_size) < 0 || copy_look(from, to, st) < 0;
  if (!bad && st->st_nlink > 1) bad = remember_link(layer, st, path) < 0;
  int error = errno;
  if (from >= 0) close(from);
  if (to >= 0) close(to);
  errno = error;
  return bad ? -1 : 0;
}

static int copy_other(int from, const struct stat *st, int into, const char *name) {
  const struct timespec times[2] = {st->st_atim, st->st_mtim};
  char target[PATH_MAX] = {0};
  if (is_whiteout(st)) return mknodat(into, name, S_IFCHR, 0);
  if (S_ISLNK(st->st_mode)) {
    if (readlinkat(from, name, target, sizeof target - 1) < 0 || symlinkat(target, into, name) < 0) return -1;
  } else if (mknodat(into, name, (st->st_mode & S_IFMT) | 0600, 0) < 0 || fchmodat(into, name, st->st_mode & 07777, 0) < 0) {
    return -1;
  }
  return fchownat(into, name, st->st_uid, st->st_gid, AT_SYMLINK_NOFOLLOW) < 0 ? -1 : utimensat(into, name, times, AT_SYMLINK_NOFOLLOW);
}

static int enqueue(const char *path, const struct set *in) {
  if (merge.queued == merge.room) {
    size_t room = merge.room ? merge.room * 2 : 1024;
    struct folder *grown = realloc(merge.queue, room * sizeof *grown);
    if (!grown) return -1;
    merge.queue = grown;
    merge.room = room;
  }
  merge.queue[merge.queued] = (struct folder){strdup(path), *in};
  return merge.queue[merge.queued].path ? (merge.queued++, 0) : -1;
}

/* A folder that `first` is the topmost layer to have: which layers below add to it, and whether it hides the rest. */
static int new_folder(int first, const struct set *above, const char *path, int into, const char *name) {
  struct set in = {{0, 0}};
  int hides = 0;
  for (int i = first; i < merge.n && !hides; i++) {
    struct stat st;
    if (!in_set(above, i)) continue;
    int fd = open_below(merge.layer[i], path, O_PATH);
    if (fd < 0 && errno == ENOENT) continue;
    if (fd < 0 || fstat(fd, &st) < 0) return -1;
    close(fd);
    hides = !S_ISDIR(st.st_mode);
    if (hides) break;
    add_to_set(&in, i);
    if ((fd = open_below(merge.layer[i], path, O_RDONLY | O_DIRECTORY)) < 0) return -1;
    hides = is_opaque(fd);
    close(fd);
  }
  if (mkdirat(into, name, 0700) < 0) return -1;
  int made = openat(into, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  int bad = made < 0 || (hides && set_opaque(made) < 0);
  if (made >= 0) close(made);
  return bad ? -1 : enqueue(path, &in);
}

static int take_entries(int layer, const struct folder *f, int into) {
  int fd = open_below(merge.layer[layer], f->path, O_RDONLY | O_DIRECTORY), bad = 0;
  DIR *d = fd < 0 ? NULL : fdopendir(fd);
  if (!d) return -1;
  for (struct dirent *e; !bad && (e = readdir(d));) {
    struct stat st;
    char path[PATH_MAX];
    if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..")) continue;
    if (fstatat(into, e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0) continue; /* a layer above has it */
    if (join(path, f->path, e->d_name) < 0 || fstatat(fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0) bad = 1;
    else if (S_ISDIR(st.st_mode)) bad = new_folder(layer, &f->in, path, into, e->d_name) < 0;
    else if (S_ISREG(st.st_mode)) bad = copy_file(layer, path, &st, into, e->d_name) < 0;
    else bad = copy_other(fd, &st, into, e->d_name) < 0;
  }
  int error = errno;
  closedir(d);
  errno = error;
  return bad ? -1 : 0;
}

/* Its look comes last: what is made in it changes its times. */
static int merge_folder(const struct folder *f) {
  struct stat st;
  int into = open_below(merge.into, f->path, O_RDONLY | O_DIRECTORY), top = -1;
  if (into < 0) return -1;
  for (int i = 0; i < merge.n; i++) {
    if (!in_set(&f->in, i)) continue;
    if (top < 0) top = i;
    if (take_entries(i, f, into) < 0) return -1;
  }
  int from = open_below(merge.layer[top], f->path, O_RDONLY | O_DIRECTORY);
  if (from < 0 || fstat(from, &st) < 0 || copy_look(from, into, &st) < 0) return -1;
  close(from);
  close(into);
  return 0;
}

/* One mount of the image: its folder r<mount> in every layer that has something there. */
static int merge_mount(struct layer *const *layers, int n, int tmpfs, int mount) {
  struct set all = {{0, 0}};
  char name[8];
  snprintf(name, sizeof name, "r%d", mount);
  memset(merge.links, 0, sizeof merge.links);
  merge.n = 0, merge.queued = 0;
  for (int i = 0; i < n; i++) {
    if (!layers[i]->has[mount]) continue;
    int fd = open_below(layers[i]->mount, name, O_PATH | O_DIRECTORY);
    if (fd < 0) return -1;
    add_to_set(&all, merge.n);
    merge.layer[merge.n++] = fd;
  }
  if (mkdirat(tmpfs, name, 0755) < 0) return -1;
  merge.into = open_below(tmpfs, name, O_PATH | O_DIRECTORY);
  if (merge.into < 0 || (merge.n > 0 && enqueue("", &all) < 0)) return -1;
  for (size_t at = 0; at < merge.queued; at++) {
    struct folder f = merge.queue[at];
    if (merge_folder(&f) < 0) return -1;
    free(f.path);
  }
  for (int i = 0; i < merge.n; i++) close(merge.layer[i]);
  return close(merge.into);
}

/* Starts the child; answers its pid, with the new file system in `tmpfs`. Its exit status is 0 or an errno. */
int compact_start(struct layer *const *layers, int n, int *tmpfs) {
  uint64_t bytes = 1 << 20, inodes = 64;
  for (int i = 0; i < n; i++) bytes += layers[i]->bytes, inodes += layers[i]->inodes;
  *tmpfs = new_tmpfs(bytes, inodes, "755", MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
  int pid = *tmpfs < 0 || keep_mount(*tmpfs) < 0 ? -1 : fork();
  if (pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    prctl(PR_SET_NAME, "light-compact");
    close(0);
    close(1);
    for (int m = 0; m < MAX_MOUNTS; m++) if (merge_mount(layers, n, *tmpfs, m) < 0) _exit(errno ? errno : EIO);
    _exit(0);
  }
  if (pid < 0 && *tmpfs >= 0) let_go(*tmpfs), close(*tmpfs);
  return pid;
}
