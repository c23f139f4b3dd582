/*
 * agent-export.c: the agent of an exporter sandbox. It tells what differs between two frozen states, in O(changes).
 *
 * It sees /new and /old (both states, merged) and /l0, /l1 ... (raw layers that only one of them has), all read-only.
 * A path can only differ where a raw layer has an entry, or lies in a folder that a raw layer has; raw layers give the
 * candidates, the merged views decide. So no mark of the overlay needs to be read, and a touched file does not differ.
 * Covers: links are never followed; devices, pipes and sockets are named, not read; sizes and counts are capped.
 * Does not cover: what the worker does with names; it judges them again.
 */
#include "agent.h"
#include <dirent.h>
#include <linux/openat2.h>

static struct paths {
  char **list;
  size_t n, room;
} paths;
static uint64_t bytes_left;
static uint32_t entries_left, request;
static char root[PATH_MAX]; /* relative to the mount, "" for its top */
static uint8_t chunk_a[CHUNK], chunk_b[CHUNK];

static int add_path(const char *path) {
  if (paths.n == paths.room) {
    size_t room = paths.room ? paths.room * 2 : 1024;
    char **grown = realloc(paths.list, room * sizeof *grown);
    if (!grown) return -1;
    paths.list = grown;
    paths.room = room;
  }
  paths.list[paths.n] = strdup(path);
  return paths.list[paths.n] ? (paths.n++, 0) : -1;
}

/* Opens a path below a folder without following any link. */
static int open_below(int dir, const char *path, uint64_t flags) {
  uint64_t extra = flags & O_PATH ? O_CLOEXEC | O_NOFOLLOW : O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK;
  struct open_how how = {.flags = flags | extra, .resolve = RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH};
  return (int)syscall(SYS_openat2, dir, *path ? path : ".", &how, sizeof how);
}

static int stat_below(int dir, const char *path, struct stat *st) {
  char parent[PATH_MAX];
  const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
  snprintf(parent, sizeof parent, "%.*s", slash ? (int)(slash - path) : 0, path);
  int fd = open_below(dir, parent, O_PATH | O_DIRECTORY);
  if (fd < 0) return -1;
  int r = fstatat(fd, *name ? name : ".", st, AT_SYMLINK_NOFOLLOW);
  close(fd);
  return r;
}

static int join(char *into, const char *folder, const char *name) {
  return snprintf(into, PATH_MAX, "%s%s%s", folder, *folder ? "/" : "", name) < PATH_MAX ? 0 : -1;
}

/* What the old state has in this folder and the new one has not. */
static int missing_in_new(int new_root, int old_root, const char *folder) {
  int was = open_below(old_root, folder, O_RDONLY | O_DIRECTORY), is = open_below(new_root, folder, O_RDONLY | O_DIRECTORY);
  DIR *d = was >= 0 && is >= 0 ? fdopendir(was) : NULL;
  int bad = 0;
  for (struct dirent *e; d && !bad && (e = readdir(d));) {
    struct stat st;
    char path[PATH_MAX];
    if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..") || fstatat(is, e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0) continue;
    bad = join(path, folder, e->d_name) < 0 || add_path(path) < 0;
  }
  if (d) closedir(d);
  else if (was >= 0) close(was);
  if (is >= 0) close(is);
  return bad;
}

/* Every entry of a raw layer below `folder` is a candidate. A queue, not recursion: depth is the program's to choose. */
static int walk_raw(int raw, int new_root, int old_root) {
  size_t at = paths.n;
  int bad = 0;
  char folder[PATH_MAX];
  snprintf(folder, sizeof folder, "%s", root);
  for (;;) {
    int fd = open_below(raw, folder, O_RDONLY | O_DIRECTORY);
    DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    for (struct dirent *e; d && !bad && (e = readdir(d));) {
      char path[PATH_MAX];
      if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..")) continue;
      bad = join(path, folder, e->d_name) < 0 || add_path(path) < 0;
    }
    if (d) closedir(d), bad |= missing_in_new(new_root, old_root, folder);
    if (bad || at >= paths.n) return bad;
    snprintf(folder, sizeof folder, "%s", paths.list[at++]); /* also files: opening them as folders fails, and that is all */
  }
}

static void send_frame(uint8_t type, const struct stat *st, const char *path, const char *target) {
  struct buffer b = {0};
  size_t mark = frame_begin(&b, request, type), skip = *root ? strlen(root) + 1 : 0;
  put_u8(&b, S_ISREG(st->st_mode) ? 0 : S_ISDIR(st->st_mode) ? 1 : S_ISLNK(st->st_mode) ? 2 : 3);
  put_u32(&b, st->st_mode & 07777);
  put_u64(&b, S_ISREG(st->st_mode) ? (uint64_t)st->st_size : 0);
  put_u32(&b, S_ISREG(st->st_mode) ? (uint32_t)st->st_nlink : 1);
  put_text(&b, path + skip, strlen(path) - skip);
  put_text(&b, target, strlen(target));
  frame_end(&b, mark);
  if (write_all(agent.socket, b.data, b.to) < 0) _exit(0);
  buffer_free(&b);
}

static int same_content(int a, int b) {
  for (;;) {
    ssize_t n = read(a, chunk_a, sizeof chunk_a), m = 0;
    if (n < 0) return 0;
    while (m < n || n == 0) {
      ssize_t k = read(b, chunk_b + m, n == 0 ? 1 : (size_t)(n - m));
      if (k <= 0) return n == 0 && k == 0;
      m += k;
      if (n == 0) return 0;
    }
    if (memcmp(chunk_a, chunk_b, (size_t)n)) return 0;
  }
}

static int differs(int new_root, int old_root, const char *path, const struct stat *is, const struct stat *was) {
  char target[2][PATH_MAX] = {{0}, {0}};
  if ((is->st_mode & (S_IFMT | 0777)) != (was->st_mode & (S_IFMT | 0777))) return 1;
  if (S_ISDIR(is->st_mode)) return 0;
  if (S_ISLNK(is->st_mode)) {
    int a = open_below(new_root, path, O_PATH), b = open_below(old_root, path, O_PATH);
    ssize_t n = readlinkat(a, "", target[0], PATH_MAX - 1), m = readlinkat(b, "", target[1], PATH_MAX - 1);
    if (a >= 0) close(a);
    if (b >= 0) close(b);
    return n != m || strcmp(target[0], target[1]);
  }
  if (!S_ISREG(is->st_mode)) return 1;
  if (is->st_size != was->st_size) return 1;
  int a = open_below(new_root, path, O_RDONLY), b = open_below(old_root, path, O_RDONLY);
  int r = a < 0 || b < 0 || !same_content(a, b);
  if (a >= 0) close(a);
  if (b >= 0) close(b);
  return r;
}

/* The announced number of bytes follows in 'D' frames; a frozen file cannot change between. */
static int send_content(int new_root, const char *path, uint64_t size) {
  static uint8_t frame[FRAME_HEAD + CHUNK];
  int fd = open_below(new_root, path, O_RDONLY);
  if (fd < 0) return errno;
  while (size > 0) {
    ssize_t n = read(fd, frame + FRAME_HEAD, size < CHUNK ? (size_t)size : CHUNK);
    if (n <= 0) return n < 0 ? errno : EIO;
    uint32_t length = (uint32_t)n;
    memcpy(frame, &length, 4);
    memcpy(frame + 4, &request, 4);
    frame[8] = 'D';
    if (write_all(agent.socket, frame, FRAME_HEAD + (size_t)n) < 0) _exit(0);
    size -= (uint64_t)n;
  }
  close(fd);
  return 0;
}

static int send_path(int new_root, int old_root, const char *path) {
  struct stat is, was, parent;
  char target[PATH_MAX] = {0}, above[PATH_MAX];
  int existed = stat_below(old_root, path, &was) == 0;
  if (stat_below(new_root, path, &is) < 0) {
    const char *slash = strrchr(path, '/');
    snprintf(above, sizeof above, "%.*s", slash ? (int)(slash - path) : 0, path);
    int fd = open_below(new_root, above, O_PATH | O_DIRECTORY); /* only the topmost deleted entry is told */
    if (fd < 0 || !existed) return fd >= 0 ? close(fd) : 0;
    close(fd);
    parent = was;
    if (entries_left-- == 0) return E2BIG;
    send_frame('Q', &parent, path, "");
    return 0;
  }
  if (existed && !differs(new_root, old_root, path, &is, &was)) return 0;
  if (entries_left-- == 0) return E2BIG;
  if (S_ISREG(is.st_mode)) {
    if ((uint64_t)is.st_size > bytes_left) return EFBIG; /* apparent size: a sparse file counts whole */
    bytes_left -= (uint64_t)is.st_size;
  }
  if (S_ISLNK(is.st_mode)) {
    int fd = open_below(new_root, path, O_PATH);
    if (fd < 0 || readlinkat(fd, "", target, sizeof target - 1) < 0) return errno;
    close(fd);
  }
  send_frame('N', &is, path, target);
  return S_ISREG(is.st_mode) ? send_content(new_root, path, (uint64_t)is.st_size) : 0;
}

static int by_bytes(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

/* text root, u64 bytes, u32 entries */
static int run(struct reader *r) {
  struct stat st;
  int error = 0, new_root = open("/new", O_PATH | O_DIRECTORY | O_CLOEXEC), old_root = open("/old", O_PATH | O_DIRECTORY | O_CLOEXEC);
  get_text(r, root, sizeof root);
  bytes_left = get_u64(r);
  entries_left = get_u32(r);
  if (r->bad || new_root < 0 || old_root < 0) return EINVAL;
  if (stat_below(new_root, root, &st) < 0) return errno;
  if (!S_ISDIR(st.st_mode)) return ENOTDIR;
  for (int i = 0;; i++) {
    char name[24];
    snprintf(name, sizeof name, "/l%d", i);
    int raw = open(name, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (raw < 0) break;
    if (walk_raw(raw, new_root, old_root)) return ENOMEM;
    close(raw);
  }
  if (paths.n == 0) return 0;
  qsort(paths.list, paths.n, sizeof *paths.list, by_bytes);
  for (size_t i = 0; i < paths.n && !error; i++)
    if (i == 0 || strcmp(paths.list[i], paths.list[i - 1])) error = send_path(new_root, old_root, paths.list[i]);
  return error == E2BIG ? EFBIG : error;
}

/* One request, then the end. The worker is the only peer and nothing else runs here, so plain blocking calls do. */
int exporter_main(void) {
  struct frame f;
  int got;
  fcntl(agent.socket, F_SETFL, 0);
  while ((got = frame_take(&agent.in, &f)) == 0)
    if (buffer_fill(&agent.in, agent.socket) <= 0) return 0;
  if (got < 0 || f.type != 'Y') return 0;
  struct reader r = {f.payload, f.payload + f.length, 0};
  request = f.id;
  file_answer(f.id, run(&r));
  buffer_flush(&agent.out, agent.socket);
  while (buffer_fill(&agent.in, agent.socket) > 0) {} /* until the worker closes */
  return 0;
}
