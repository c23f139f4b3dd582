/*
 * sweeper.c: a child of the host that does what may take long or must happen after the host's death.
 *
 * Covers: dropping the last descriptor of a big tmpfs (92 ms for 20,000 files) and emptying a memory group (10 ms) never
 * hold up another sandbox; when the host is killed, its groups and sockets go at once. Does not cover: being killed
 * itself; `reap` then finds what is left.
 *
 * What is left of a frozen sandbox waits a little: its state is about to be forked, and a fork beside this work takes twice
 * as long, whichever core it is on.
 */
#include "light.h"
#include <dirent.h>
#include <poll.h>

#define LATER_MS 100
#define MOST_LATER 64
#define QUEUE_BYTES (8 << 20) /* some 10,000 jobs: a full queue would hold up the host */

static char run_path[PATH_MAX];

static void remove_run_folder(void) {
  DIR *d = opendir(run_path);
  for (struct dirent *e; d && (e = readdir(d));)
    if (e->d_name[0] != '.') unlinkat(dirfd(d), e->d_name, 0);
  if (d) closedir(d);
  rmdir(run_path);
}

static void remove_group(const char *name) {
  cgroups_force_empty(name);
  for (int tries = 0; tries < 400 && cgroups_remove(name) < 0; tries++) {
    if (tries == 20) cgroups_kill(name);
    usleep(tries < 20 ? 500 : 5000);
  }
}

static int next_job(int socket, char *name, size_t room, int *fd) {
  char control[CMSG_SPACE(sizeof(int))];
  struct iovec io = {name, room - 1};
  struct msghdr m = {.msg_iov = &io, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  ssize_t n;
  do n = recvmsg(socket, &m, MSG_CMSG_CLOEXEC);
  while (n < 0 && errno == EINTR);
  if (n <= 0) return 0;
  name[n] = 0;
  struct cmsghdr *h = CMSG_FIRSTHDR(&m);
  *fd = -1;
  if (h) memcpy(fd, CMSG_DATA(h), sizeof *fd);
  return 1;
}

static void do_job(const char *name, int fd) {
  if (fd >= 0) close(fd);
  if (name[0] == 's') remove_group(name);
}

static struct later {
  char name[32];
  int fd;
  double due;
} later[MOST_LATER];
static unsigned first_later, last_later;

static void do_first_later(void) {
  struct later *l = &later[first_later++ % MOST_LATER];
  do_job(l->name, l->fd);
}

static void put_off(const char *name, int fd) {
  if (last_later - first_later == MOST_LATER) do_first_later();
  struct later *l = &later[last_later++ % MOST_LATER];
  snprintf(l->name, sizeof l->name, "%s", name);
  l->fd = fd, l->due = now_ms() + LATER_MS;
}

/* Until the next job comes, does what is due of what was put off. */
static void wait_for_job(int socket) {
  struct pollfd p = {.fd = socket, .events = POLLIN};
  while (first_later != last_later) {
    double wait = later[first_later % MOST_LATER].due - now_ms();
    if (wait <= 0) do_first_later();
    else if (poll(&p, 1, (int)wait + 1) > 0) return;
  }
}

static void loop(int socket, const char *owner) {
  char name[64];
  int fd, held = -1;
  signal(SIGINT, SIG_IGN);
  signal(SIGTERM, SIG_IGN);
  signal(SIGHUP, SIG_IGN);
  prctl(PR_SET_NAME, "light-sweeper");
  while (wait_for_job(socket), next_job(socket, name, sizeof name, &fd)) {
    if (name[0] == '+') put_off(name + 1, held);
    else do_job(name, held); /* the host has closed its copy before it sent this */
    held = fd;
  }
  cgroups_stop(owner);
  remove_run_folder();
  _exit(0);
}

int sweeper_start(const char *owner) {
  int ends[2];
  char link[48];
  snprintf(link, sizeof link, "/proc/self/fd/%d", host.run_dir);
  ssize_t n = readlink(link, run_path, sizeof run_path - 1);
  if (n <= 0 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0) return -1;
  const int room = QUEUE_BYTES; /* as an ordinary user as much as the machine allows */
  if (setsockopt(ends[0], SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof room) < 0) setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
  run_path[n] = 0;
  int pid = fork();
  if (pid < 0) return -1;
  if (pid == 0) {
    setsid();
    int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int i = 0; i < 3; i++) dup2(nothing, i); /* the worker must see the host's pipes close */
    close(ends[0]);
    close(host.agent_fd);
    loop(ends[1], owner);
  }
  close(ends[1]);
  return ends[0];
}

static ssize_t send_job(int sweeper, const char *name, int fd) {
  char control[CMSG_SPACE(sizeof(int))] = {0};
  struct iovec io = {(void *)(uintptr_t)name, strlen(name)};
  struct msghdr m = {.msg_iov = &io, .msg_iovlen = 1};
  if (fd >= 0) {
    m.msg_control = control;
    m.msg_controllen = sizeof control;
    struct cmsghdr *h = CMSG_FIRSTHDR(&m);
    h->cmsg_level = SOL_SOCKET;
    h->cmsg_type = SCM_RIGHTS;
    h->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(h), &fd, sizeof fd);
  }
  return sendmsg(sweeper, &m, MSG_NOSIGNAL);
}

/*
 * Hands a descriptor and a group name ("-" for none; a "+" before it: later) to the sweeper; when that is not possible, does
 * it here. The sweeper keeps a descriptor until the next message: whoever closes last takes the file system down, and that
 * must not be the host.
 */
int sweep(int sweeper, const char *name, int fd) {
  if (fd >= 0) {
    send_job(sweeper, "-", fd);
    close(fd);
  }
  ssize_t n = send_job(sweeper, name, -1);
  if (n < 0) cgroups_remove(name[0] == '+' ? name + 1 : name);
  return n < 0 ? -1 : 0;
}

/* The same with a file system that the host keeps. */
int sweep_mount(const char *name, int fd) {
  let_go(fd);
  return sweep(host.sweeper, name, fd);
}
