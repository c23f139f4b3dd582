/*
 * agent-files.c: file operations for the worker, done inside.
 *
 * Covers: every path is resolved in the sandbox's own root, so a link can only lead to the sandbox itself. Magic links
 * of /proc are not followed and files of /proc are refused both ways: through them a write would reach the agent's
 * own memory. Devices, pipes and sockets are never opened for their content; a pipe cannot make the agent wait.
 * Writes are charged to the sandbox's memory and quota. Does not cover: races between the program and the worker over
 * the same file; the program owns its files.
 */
#include "agent.h"
#include <dirent.h>
#include <linux/magic.h>
#include <linux/openat2.h>

enum { MAX_WALK = 64, ENOTREGULAR = 100000 }; /* an error of our own: pipes, devices, sockets */

static uint8_t error_code(int error) {
  switch (error) { /* the numbers of FILE_ERRORS in core/sandbox.ts */
    case ENOENT: return 0;
    case EISDIR: case ENOTREGULAR: return 1;
    case ENOTDIR: return 2;
    case EFBIG: return 3;
    case ENOSPC: case EDQUOT: case ENOMEM: return 4;
    case EACCES: case EPERM: case EROFS: case EXDEV: return 5;
    case ENAMETOOLONG: case EINVAL: case EILSEQ: case ELOOP: return 6;
    case EBUSY: case ETXTBSY: return 7;
    default: return 8;
  }
}

void file_answer(uint32_t id, int error) {
  size_t mark = frame_begin(&agent.out, id, 'Z');
  put_u8(&agent.out, error ? 1 : 0);
  put_u8(&agent.out, error_code(error));
  const char *text = error == ENOTREGULAR ? "Not a regular file" : error ? strerror(error) : "";
  put_text(&agent.out, text, strlen(text));
  frame_end(&agent.out, mark);
}

int open_inside(const char *path, uint64_t flags, uint64_t mode) {
  uint64_t extra = flags & O_PATH ? O_CLOEXEC : O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
  struct open_how how = {.flags = flags | extra, .mode = flags & O_CREAT ? mode : 0,
                         .resolve = RESOLVE_NO_MAGICLINKS | RESOLVE_IN_ROOT};
  int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
  int fd = root < 0 ? -1 : (int)syscall(SYS_openat2, root, path, &how, sizeof how);
  int error = errno;
  if (root >= 0) close(root);
  struct statfs fs;
  if (fd >= 0 && fstatfs(fd, &fs) == 0 && fs.f_type == PROC_SUPER_MAGIC) {
    close(fd);
    fd = -1;
    error = EACCES;
  }
  errno = error;
  return fd;
}

/* A relative path starts at the workspace. */
static int get_path(struct reader *r, char *path) {
  char given[PATH_MAX];
  if (get_text(r, given, sizeof given) < 0) return EINVAL;
  int n = snprintf(path, PATH_MAX, "%s%s", given[0] == '/' ? "" : "/workspace/", given);
  return n >= PATH_MAX ? ENAMETOOLONG : given[0] == 0 ? EINVAL : 0;
}

static int regular(int fd, struct stat *st) {
  if (fstat(fd, st) < 0) return errno;
  return S_ISDIR(st->st_mode) ? EISDIR : S_ISREG(st->st_mode) ? 0 : ENOTREGULAR;
}

/* Opening a device or a pipe can have effects; so the kind is looked at first, without opening the thing itself. */
static int open_regular(const char *path, uint64_t flags, uint64_t mode, struct stat *st, int *error) {
  int probe = open_inside(path, O_PATH, 0);
  *error = probe < 0 ? errno : regular(probe, st);
  if (probe >= 0) close(probe);
  if (*error == ENOENT && flags & O_CREAT) *error = 0;
  if (*error) return -1;
  int fd = open_inside(path, flags, mode);
  *error = fd < 0 ? errno : regular(fd, st);
  if (*error == ENXIO || *error == EWOULDBLOCK) *error = ENOTREGULAR;
  if (*error && fd >= 0) {
    close(fd);
    fd = -1;
  }
  return fd;
}

/* text path, u64 most. Answers 'D' chunks, then 'Z'. */
static void read_file(uint32_t id, struct reader *r) {
  char path[PATH_MAX];
  static uint8_t data[CHUNK];
  struct stat st;
  int error = get_path(r, path), fd = -1;
  uint64_t most = get_u64(r), sent = 0;
  if (!error) fd = open_regular(path, O_RDONLY, 0, &st, &error);
  if (!error && (uint64_t)st.st_size > most) error = EFBIG;
  while (!error) {
    ssize_t n = read(fd, data, sizeof data);
    if (n < 0) error = errno;
    if (n <= 0) break;
    sent += (uint64_t)n;
    if (sent > most) error = EFBIG;
    else agent_answer(id, 'D', data, (size_t)n);
  }
  if (fd >= 0) close(fd);
  file_answer(id, error);
}

static int make_parents(char *path) {
  for (char *p = path + 1; (p = strchr(p, '/')); p++) {
    *p = 0;
    int fd = open_inside(path, O_PATH | O_DIRECTORY, 0), missing = fd < 0 && errno == ENOENT;
    if (fd >= 0) close(fd);
    int error = fd < 0 && !missing ? errno : missing && mkdir(path, 0755) < 0 && errno != EEXIST ? errno : 0;
    *p = '/';
    if (error) return error;
  }
  return 0;
}

/* Room is taken before anything is overwritten: a full disk leaves the old content as it was. */
static int put_content(int fd, const struct stat *old, const uint8_t *data, uint64_t at, uint64_t total, size_t n) {
  if (at == 0 && total > 0 && fallocate(fd, 0, 0, (off_t)total) < 0 && errno != EOPNOTSUPP) {
    int error = errno;
    if (ftruncate(fd, old->st_size) < 0) return errno;
    return error;
  }
  for (size_t done = 0; done < n;) {
    ssize_t w = pwrite(fd, data + done, n - done, (off_t)(at + done));
    if (w < 0) return errno;
    done += (size_t)w;
  }
  return at + n == total && ftruncate(fd, (off_t)total) < 0 ? errno : 0;
}

/* text path, u32 mode (0xffffffff = keep or 0644), u64 total, u64 at, the rest is content. The first piece makes the file. */
static void write_file(uint32_t id, struct reader *r) {
  char path[PATH_MAX];
  struct stat st = {0};
  int error = get_path(r, path), fd = -1;
  uint32_t mode = get_u32(r);
  uint64_t total = get_u64(r), at = get_u64(r);
  if (r->bad) error = EINVAL;
  if (!error && path[strlen(path) - 1] == '/') error = EISDIR;
  if (!error && at == 0) {
    fd = open_regular(path, O_WRONLY | O_CREAT, 0644, &st, &error);
    if (error == ENOENT && !(error = make_parents(path))) fd = open_regular(path, O_WRONLY | O_CREAT, 0644, &st, &error);
  } else if (!error) {
    fd = open_regular(path, O_WRONLY, 0, &st, &error);
  }
  if (!error) error = put_content(fd, &st, r->at, at, total, (size_t)(r->end - r->at));
  if (!error && mode != 0xffffffffu && fchmod(fd, mode & 0777) < 0) error = errno;
  if (fd >= 0) close(fd);
  file_answer(id, error);
}

static void put_stat(const struct stat *st) {
  put_u8(&agent.out, S_ISREG(st->st_mode) ? 0 : S_ISDIR(st->st_mode) ? 1 : S_ISLNK(st->st_mode) ? 2 : 3);
  put_u32(&agent.out, st->st_mode & 07777);
  put_u64(&agent.out, (uint64_t)st->st_size);
}

static void stat_file(uint32_t id, struct reader *r) {
  char path[PATH_MAX];
  struct stat st;
  int error = get_path(r, path), fd = error ? -1 : open_inside(path, O_PATH, 0);
  if (!error && (fd < 0 || fstat(fd, &st) < 0)) error = errno;
  if (fd >= 0) close(fd);
  if (!error) {
    size_t mark = frame_begin(&agent.out, id, 'T');
    put_stat(&st);
    frame_end(&agent.out, mark);
  }
  file_answer(id, error);
}

struct walk {
  uint32_t id, left;
  char path[PATH_MAX];
};

static int list_folder(struct walk *w, int dir, size_t length, uint32_t depth) {
  DIR *d = fdopendir(dir);
  int error = d ? 0 : errno;
  if (!d) close(dir);
  for (struct dirent *e; !error && (e = readdir(d));) {
    struct stat st;
    if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..")) continue;
    size_t n = strlen(e->d_name), whole = length + (length > 0) + n;
    if (w->left-- == 0) error = EFBIG;
    if (error || whole >= PATH_MAX || fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0) continue;
    if (length) w->path[length] = '/';
    memcpy(w->path + length + (length > 0), e->d_name, n);
    size_t mark = frame_begin(&agent.out, w->id, 'N');
    put_stat(&st);
    put_text(&agent.out, w->path, whole);
    frame_end(&agent.out, mark);
    if (!S_ISDIR(st.st_mode) || depth <= 1) continue;
    int sub = openat(dirfd(d), e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    struct statfs fs;
    if (sub >= 0 && fstatfs(sub, &fs) == 0 && fs.f_type == PROC_SUPER_MAGIC) close(sub);
    else if (sub >= 0) error = list_folder(w, sub, whole, depth - 1);
  }
  if (d) closedir(d);
  return error;
}

/* text path, u32 depth, u32 most entries. Answers 'N' per entry, then 'Z'. */
void file_list(uint32_t id, struct reader *r) {
  static struct walk w;
  char path[PATH_MAX];
  int error = get_path(r, path);
  uint32_t depth = get_u32(r);
  w = (struct walk){.id = id, .left = get_u32(r)};
  int dir = error ? -1 : open_inside(path, O_RDONLY | O_DIRECTORY, 0);
  if (!error && dir < 0) error = errno;
  if (!error) error = list_folder(&w, dir, 0, depth > MAX_WALK ? MAX_WALK : depth);
  file_answer(id, error);
}

/*
 * Empties a folder without recursion, so that ten thousand levels need neither stack nor descriptors: it goes down into
 * a subfolder, and back up by "..", which cannot leave the sandbox.
 */
static int empty_folder(int dir) {
  int depth = 0, error = 0;
  char stack_name[1][NAME_MAX + 1];
  while (!error) {
    DIR *d = fdopendir(fcntl(dir, F_DUPFD_CLOEXEC, 3));
    struct dirent *e;
    int down = 0;
    if (!d) return errno;
    rewinddir(d);
    while (!down && !error && (e = readdir(d))) {
      if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..")) continue;
      if (unlinkat(dir, e->d_name, 0) == 0) continue;
      if (errno != EISDIR && errno != EPERM) error = errno;
      else if (unlinkat(dir, e->d_name, AT_REMOVEDIR) == 0 || errno == ENOENT) continue;
      else if (errno != ENOTEMPTY && errno != EEXIST) error = errno;
      else snprintf(stack_name[0], sizeof stack_name[0], "%s", e->d_name), down = 1;
    }
    closedir(d);
    if (error || (!down && depth == 0)) break;
    int next = openat(dir, down ? stack_name[0] : "..", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (next < 0) return errno;
    dup3(next, dir, O_CLOEXEC);
    close(next);
    depth += down ? 1 : -1;
  }
  return error;
}

/* text path */
void file_remove(uint32_t id, struct reader *r) {
  char path[PATH_MAX];
  struct stat st;
  int error = get_path(r, path);
  for (size_t n = strlen(path); !error && n > 1 && path[n - 1] == '/'; n--) path[n - 1] = 0;
  char *slash = error ? NULL : strrchr(path, '/');
  const char *name = slash ? slash + 1 : "";
  if (!error && (!*name || !strcmp(name, ".") || !strcmp(name, ".."))) error = EINVAL;
  if (!error && slash != path) *slash = 0;
  int dir = error ? -1 : open_inside(slash == path ? "/" : path, O_RDONLY | O_DIRECTORY, 0);
  if (!error && dir < 0) error = errno;
  if (!error && fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0) error = errno;
  if (!error && S_ISDIR(st.st_mode)) {
    int inner = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    error = inner < 0 ? errno : empty_folder(inner);
    if (inner >= 0) close(inner);
  }
  if (!error && unlinkat(dir, name, S_ISDIR(st.st_mode) ? AT_REMOVEDIR : 0) < 0) error = errno;
  if (dir >= 0) close(dir);
  file_answer(id, error);
}

void file_request(const struct frame *f) {
  struct reader r = {f->payload, f->payload + f->length, 0};
  switch (f->type) {
    case 'G': return read_file(f->id, &r);
    case 'W': return write_file(f->id, &r);
    case 'T': return stat_file(f->id, &r);
    case 'L': return file_list(f->id, &r);
    case 'U': return file_remove(f->id, &r);
    default: return agent_fail(f->id, "unknown request");
  }
}
