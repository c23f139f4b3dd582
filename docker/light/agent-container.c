/*
 * agent-container.c: the agent as first process of a container that an engine made (docker/container/).
 *
 * It is started as the container's root with five capabilities, connects to the worker over a socket in a folder that
 * is mounted read-only, and becomes AGENT_ID; commands run under an id of their own, so their exec leaves them without
 * any capability, and no_new_privs keeps it so. Nothing else runs before the connection stands, and the worker takes
 * exactly one.
 * A container's memory file systems end with it, so a frozen state is a stream of its files: every process is killed
 * first, then nobody can change what is read. The stream is data to the worker; only agents unpack it, inside.
 * Covers: links are never followed, holes stay holes, unreadable modes do not hide files. Does not cover: owners, extended
 * attributes, folders' times; hard links become copies; names longer than PATH_MAX and sockets are left out.
 */
#include "agent.h"
#include <dirent.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/openat2.h>
#include <sys/fsuid.h>

#define CAP_BIT(c) (1u << (c))
enum { ALWAYS = CAP_BIT(CAP_KILL) | CAP_BIT(CAP_SETUID) | CAP_BIT(CAP_SETGID), FILES = CAP_BIT(CAP_DAC_OVERRIDE) };

static int set_capabilities(uint32_t effective) {
  struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct caps[2] = {{.permitted = ALWAYS | FILES, .effective = effective}, {0}};
  return (int)syscall(SYS_capset, &head, caps);
}

/* Reading and writing what a command made unreadable; off except for archives and the agent's own /proc files. */
void container_file_power(int on) {
  if (agent.container) set_capabilities(on ? ALWAYS | FILES : ALWAYS);
}

static int connect_to(const char *path) {
  struct sockaddr_un to = {.sun_family = AF_UNIX};
  int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (strlen(path) >= sizeof to.sun_path) return -1;
  strcpy(to.sun_path, path);
  return s < 0 || connect(s, (struct sockaddr *)&to, sizeof to) < 0 || fcntl(s, F_SETFL, O_NONBLOCK) < 0 ? -1 : s;
}

static int become_agent(uid_t command_id) {
  if (setgroups(0, NULL) < 0 || prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0) return -1;
  if (setresgid(AGENT_ID, AGENT_ID, AGENT_ID) < 0 || setresuid(AGENT_ID, AGENT_ID, AGENT_ID) < 0) return -1;
  if (set_capabilities(ALWAYS) < 0) return -1;
  setfsgid(command_id); /* files that the worker writes belong to the commands */
  setfsuid(command_id);
  return set_capabilities(ALWAYS);
}

/* A kernel of its own under an engine (gVisor before September 2026) may lack what keeps the file API inside. */
static int contains_paths(void) {
  struct open_how how = {.flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT};
  int fd = (int)syscall(SYS_openat2, AT_FDCWD, "/", &how, sizeof how);
  if (fd >= 0) close(fd);
  return fd >= 0;
}

static int memory_events(void) {
  int fd = open("/sys/fs/cgroup/memory/memory.oom_control", O_RDONLY | O_CLOEXEC);
  return fd >= 0 ? fd : open("/sys/fs/cgroup/memory.events", O_RDONLY | O_CLOEXEC);
}

/* light container SOCKET ID [FOLDER]...: ID is the user and group of commands. FOLDERs are memory file systems that the
 * engine could not give to that id: commands may make files in them. Nothing of the image runs before. */
int container_main(int argc, char **argv) {
  sigset_t all;
  long id = argc > 3 ? atol(argv[3]) : 0;
  if (argc < 4 || id <= 0 || (uid_t)id == AGENT_ID) return 64;
  syscall(SYS_close_range, 3, ~0u, 0);
  umask(022);
  if (!contains_paths()) return 7;
  agent.socket = connect_to(argv[2]);
  if (agent.socket < 0) return 5;
  agent.oom_fd = memory_events();
  agent.container = 1;
  agent.root_mode = 1;
  agent.command_id = (uid_t)id;
  for (int i = 4; i < argc; i++)
    if (chmod(argv[i], 01777) < 0) return 6;
  if (become_agent((uid_t)id) < 0) return 3;
  prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  if (install_seccomp() < 0) return 4;
  int nothing = open("/dev/null", O_RDWR);
  for (int i = 0; i < 3; i++) dup2(nothing, i);
  if (nothing > 2) close(nothing);
  sigfillset(&all);
  sigprocmask(SIG_SETMASK, &all, NULL);
  return agent_serve();
}

/* ---- freeze: 'F' strings roots -> ('N' entry, 'D' u64 offset + bytes)*, 'Z' ---- */

static struct {
  char **list;
  size_t n, room;
} folders;
static uint32_t request;

static int add_folder(const char *path) {
  if (folders.n == folders.room) {
    size_t room = folders.room ? folders.room * 2 : 1024;
    char **grown = realloc(folders.list, room * sizeof *grown);
    if (!grown) return ENOMEM;
    folders.list = grown;
    folders.room = room;
  }
  folders.list[folders.n] = strdup(path);
  return folders.list[folders.n] ? (folders.n++, 0) : ENOMEM;
}

static int open_plain(const char *path, uint64_t flags, uint64_t mode) {
  struct open_how how = {.flags = flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, .mode = mode, .resolve = RESOLVE_NO_SYMLINKS};
  return (int)syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof how);
}

static void send_entry(const struct stat *st, const char *path, const char *target) {
  struct buffer b = {0};
  size_t mark = frame_begin(&b, request, 'N');
  put_u32(&b, st->st_mode);
  put_u64(&b, S_ISREG(st->st_mode) ? (uint64_t)st->st_size : 0);
  put_u64(&b, (uint64_t)st->st_mtim.tv_sec * 1000000000u + (uint64_t)st->st_mtim.tv_nsec);
  put_u32(&b, S_ISDIR(st->st_mode) ? 1 : (uint32_t)st->st_nlink);
  put_text(&b, path, strlen(path));
  put_text(&b, target, strlen(target));
  frame_end(&b, mark);
  if (write_all(agent.socket, b.data, b.to) < 0) _exit(0);
  buffer_free(&b);
}

/* Only the parts that hold data: a terabyte of hole costs nothing. */
static int send_data(int dir, const char *name) {
  static uint8_t frame[FRAME_HEAD + 8 + CHUNK];
  int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK), error = fd < 0 ? errno : 0;
  for (off_t at = 0, end; !error && (at = lseek(fd, at, SEEK_DATA)) >= 0; at = end) {
    end = lseek(fd, at, SEEK_HOLE);
    if (end < 0) error = errno;
    while (at < end && !error) {
      ssize_t n = pread(fd, frame + FRAME_HEAD + 8, end - at < CHUNK ? (size_t)(end - at) : CHUNK, at);
      if (n <= 0) {
        error = n < 0 ? errno : EIO;
        break;
      }
      uint32_t length = (uint32_t)n + 8;
      uint64_t offset = (uint64_t)at;
      memcpy(frame, &length, 4);
      memcpy(frame + 4, &request, 4);
      frame[8] = 'D';
      memcpy(frame + FRAME_HEAD, &offset, 8);
      if (write_all(agent.socket, frame, FRAME_HEAD + length) < 0) _exit(0);
      at += n;
    }
  }
  if (fd >= 0) close(fd);
  return error;
}

static int send_folder(const char *folder) {
  int fd = open_plain(folder, O_RDONLY | O_DIRECTORY, 0), error = 0;
  DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
  if (!d) return errno;
  for (struct dirent *e; !error && (e = readdir(d));) {
    struct stat st;
    char path[PATH_MAX], target[PATH_MAX] = {0};
    if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..")) continue;
    if (fstatat(fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0) continue;
    if (snprintf(path, sizeof path, "%s/%s", folder, e->d_name) >= (int)sizeof path) continue;
    if (S_ISLNK(st.st_mode) && readlinkat(fd, e->d_name, target, sizeof target - 1) < 0) continue;
    send_entry(&st, path, target);
    if (S_ISDIR(st.st_mode)) error = add_folder(path);
    if (S_ISREG(st.st_mode)) error = send_data(fd, e->d_name);
  }
  closedir(d);
  return error;
}

static void freeze(uint32_t id, struct reader *r) {
  static char *roots[33];
  int n, error = 0;
  get_strings(r, roots, 32, &n);
  if (r->bad) return agent_fail(id, "the request is malformed");
  request = id;
  agent.frozen = 1;
  while (kill(-1, SIGKILL) == 0)
    while (waitpid(-1, NULL, 0) > 0) {}
  fcntl(agent.socket, F_SETFL, 0);
  if (buffer_flush(&agent.out, agent.socket) < 0) _exit(0);
  container_file_power(1);
  for (int i = 0; i < n && !error; i++) {
    struct stat st;
    if (lstat(roots[i], &st) < 0 || !S_ISDIR(st.st_mode)) continue;
    send_entry(&st, roots[i], "");
    error = add_folder(roots[i]);
  }
  for (size_t at = 0; at < folders.n && !error; at++) {
    error = send_folder(folders.list[at]);
    free(folders.list[at]);
  }
  container_file_power(0);
  file_answer(id, error);
  if (buffer_flush(&agent.out, agent.socket) < 0) _exit(0);
}

/* ---- restore: ('V' entry, 'v' u64 offset + bytes)*, 'w' -> 'Z'. Before any command runs. ---- */

static int restored = -1, restore_error;
static struct timespec restored_time;

static void finish_restored(void) {
  const struct timespec times[2] = {restored_time, restored_time};
  if (restored < 0) return;
  futimens(restored, times);
  close(restored);
  restored = -1;
}

static int restore_entry(struct reader *r) {
  char path[PATH_MAX], target[PATH_MAX];
  uint32_t mode = get_u32(r);
  uint64_t size = get_u64(r), mtime = get_u64(r);
  get_u32(r);
  get_text(r, path, sizeof path);
  get_text(r, target, sizeof target);
  if (r->bad || path[0] != '/') return EINVAL;
  char *slash = strrchr(path, '/'), *name = slash + 1;
  *slash = 0;
  int dir = open_plain(*path ? path : "/", O_RDONLY | O_DIRECTORY, 0), error = 0;
  if (dir < 0) return errno;
  restored_time = (struct timespec){(time_t)(mtime / 1000000000u), (long)(mtime % 1000000000u)};
  if (S_ISDIR(mode)) {
    if (mkdirat(dir, name, 0700) < 0 && errno != EEXIST) error = errno;
    else if (fchmodat(dir, name, mode & 07777, 0) < 0) error = errno == EPERM ? 0 : errno; /* a root of the engine's making */
  } else if (S_ISLNK(mode)) {
    error = symlinkat(target, dir, name) < 0 ? errno : 0;
  } else if (S_ISFIFO(mode)) {
    error = mknodat(dir, name, S_IFIFO | (mode & 0777), 0) < 0 ? errno : 0;
  } else if (S_ISREG(mode)) {
    restored = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (restored < 0 || ftruncate(restored, (off_t)size) < 0 || fchmod(restored, mode & 07777) < 0) error = errno;
  }
  close(dir);
  return error;
}

static int restore_data(struct reader *r) {
  uint64_t at = get_u64(r);
  if (r->bad || restored < 0) return EINVAL;
  while (r->at < r->end) {
    ssize_t n = pwrite(restored, r->at, (size_t)(r->end - r->at), (off_t)at);
    if (n < 0) return errno;
    r->at += n;
    at += (uint64_t)n;
  }
  return 0;
}

static void restore(const struct frame *f, struct reader *r) {
  container_file_power(1);
  if (f->type != 'v') finish_restored();
  if (!restore_error && f->type != 'w') restore_error = f->type == 'V' ? restore_entry(r) : restore_data(r);
  container_file_power(0);
  if (f->type != 'w') return;
  file_answer(f->id, restore_error);
  restore_error = 0;
}

void container_request(const struct frame *f) {
  struct reader r = {f->payload, f->payload + f->length, 0};
  if (!agent.container) return agent_fail(f->id, "unknown request");
  if (f->type == 'F') freeze(f->id, &r);
  else restore(f, &r);
}
