/*
 * sweeper.c: a child of the host that does what may take long or must happen after the host's death.
 *
 * Covers: dropping the last descriptor of a big tmpfs (92 ms for 20,000 files) and emptying a memory group (10 ms) never
 * hold up another sandbox; when the host is killed, its groups and sockets go at once. Does not cover: being killed
 * itself; `reap` then finds what is left.
 */
#include "light.h"
#include <dirent.h>

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

static void loop(int socket, const char *owner) {
  char name[64];
  int fd;
  signal(SIGINT, SIG_IGN);
  signal(SIGTERM, SIG_IGN);
  signal(SIGHUP, SIG_IGN);
  prctl(PR_SET_NAME, "light-sweeper");
  while (next_job(socket, name, sizeof name, &fd)) {
    if (fd >= 0) close(fd);
    if (name[0] != '-') remove_group(name);
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

/* Hands a group name ("-" for none) and a descriptor to the sweeper; when that is not possible, closes it here. */
int sweep(int sweeper, const char *name, int fd) {
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
  ssize_t n = sendmsg(sweeper, &m, MSG_NOSIGNAL);
  if (fd >= 0) close(fd);
  if (n < 0 && name[0] != '-') cgroups_remove(name);
  return n < 0 ? -1 : 0;
}
