/*
 * image.c: the read-only folders that sandboxes are made of. The worker names them before the host enters its own root.
 *
 * Covers: a sandbox sees only what an image lists; folders become detached mounts, so that no path of the host shows up
 * inside; files that others may not read are masked, because an id-mapped sandbox would own them. Does not cover: what
 * is in the listed folders and readable by everybody.
 */
#include "light.h"
#include <dirent.h>

struct image images[MAX_IMAGES];
static char why[512];
const char *image_error(void) { return why; }

static int wrong(const char *what, const char *path) {
  snprintf(why, sizeof why, "%s %s: %s", what, path, strerror(errno));
  return -1;
}

static int copy_file(int from, const char *name, int to, mode_t mode) {
  char chunk[CHUNK];
  int in = openat(from, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
  int out = in < 0 ? -1 : openat(to, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  ssize_t n = -1;
  while (out >= 0 && (n = read(in, chunk, sizeof chunk)) > 0)
    if (write_all(out, chunk, (size_t)n) < 0) break;
  if (out >= 0 && n == 0 && fchmod(out, mode & 07777) < 0) n = -1;
  if (in >= 0) close(in);
  if (out >= 0) close(out);
  return n == 0 ? 0 : -1;
}

/* Copies a prepared folder (the synthesised root) into a tmpfs; both ends are ours. */
static int copy_tree(int from, int to, int depth) {
  if (depth > 32) return -1;
  DIR *d = fdopendir(dup(from));
  int bad = !d;
  for (struct dirent *e; d && !bad && (e = readdir(d));) {
    struct stat st;
    char link[PATH_MAX];
    if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..")) continue;
    bad = fstatat(from, e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0;
    if (bad) break;
    if (S_ISDIR(st.st_mode)) {
      int a = openat(from, e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
      bad = a < 0 || mkdirat(to, e->d_name, 0700) < 0;
      int b = bad ? -1 : openat(to, e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
      bad = bad || b < 0 || copy_tree(a, b, depth + 1) < 0 || fchmod(b, st.st_mode & 07777) < 0;
      if (a >= 0) close(a);
      if (b >= 0) close(b);
    } else if (S_ISLNK(st.st_mode)) {
      ssize_t n = readlinkat(from, e->d_name, link, sizeof link - 1);
      link[n > 0 ? n : 0] = 0;
      bad = n <= 0 || symlinkat(link, to, e->d_name) < 0;
    } else if (S_ISREG(st.st_mode)) {
      bad = copy_file(from, e->d_name, to, st.st_mode) < 0;
    }
  }
  if (d) closedir(d);
  return bad ? -1 : 0;
}

static int skeleton(const char *path) {
  int from = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  int to = new_tmpfs(64u << 20, 20000, "755", MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);
  if (from < 0 || to < 0 || copy_tree(from, to, 0) < 0) return wrong("cannot copy", path);
  close(from);
  return to;
}

/* Whiteouts for what an ordinary user of the host may not read, as a layer above the real folder. */
static int masks(struct reader *r, uint32_t n) {
  int root = new_tmpfs(16u << 20, 65536, "755", MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);
  if (root < 0) return wrong("cannot make", "mask layer");
  for (uint32_t i = 0; i < n && !r->bad; i++) {
    char path[PATH_MAX];
    if (get_text(r, path, sizeof path) < 0) break;
    for (char *p = path + 1; (p = strchr(p, '/')); p++) {
      *p = 0;
      mkdirat(root, path, 0755);
      *p = '/';
    }
    if (mknodat(root, path, S_IFCHR, makedev(0, 0)) < 0 && errno != EEXIST) return wrong("cannot mask", path);
  }
  return root;
}

static int lower(const char *path) {
  int fd = sys_open_tree(AT_FDCWD, path, 0);
  if (fd < 0 && errno == EINVAL) fd = sys_open_tree(AT_FDCWD, path, AT_RECURSIVE); /* locked submounts (user mode) */
  return fd;
}

/* Frame: u32 image, text skeleton, u32 mounts, each {text target, u32 masks, text*, u32 lowers, text*}. */
static int define(struct reader *r) {
  char path[PATH_MAX];
  uint32_t id = get_u32(r);
  if (id >= MAX_IMAGES || images[id].used) return errno = EINVAL, wrong("image", "number");
  struct image *im = &images[id];
  get_text(r, path, sizeof path);
  int base = skeleton(path);
  if (base < 0) return -1;
  uint32_t n = get_u32(r);
  if (n == 0 || n > MAX_MOUNTS) return errno = EINVAL, wrong("image", "mounts");
  for (uint32_t i = 0; i < n && !r->bad; i++) {
    get_text(r, im->target[i], sizeof im->target[i]);
    uint32_t hidden = get_u32(r);
    if (i == 0) im->lower[i][im->nlower[i]++] = base;
    if (hidden > 0) {
      int fd = masks(r, hidden);
      if (fd < 0) return -1;
      im->lower[i][im->nlower[i]++] = fd;
    }
    uint32_t lowers = get_u32(r);
    for (uint32_t k = 0; k < lowers && !r->bad; k++) {
      get_text(r, path, sizeof path);
      if (im->nlower[i] >= MAX_LOWERS) return errno = E2BIG, wrong("too many folders at", path);
      int fd = lower(path);
      if (fd < 0) return wrong("cannot open", path);
      im->lower[i][im->nlower[i]++] = fd;
    }
    for (int k = 0; k < MAX_LOWERS; k++) im->idmappable[i][k] = -1;
  }
  if (r->bad) return errno = EPROTO, wrong("image", "frame");
  im->nmounts = (int)n;
  im->used = 1;
  return 0;
}

int image_define(struct reader *r) {
  if (unmapped_files()) make_files_as(host.range_base);
  int bad = define(r);
  if (unmapped_files()) make_files_as(0);
  return bad;
}
