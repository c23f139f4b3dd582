/*
 * agent.c: PID 1 of a sandbox.
 *
 * Covers: it takes an id that no command can take, is not dumpable, filters its own kernel calls and dies with the host.
 * It serves exactly one connection, made by the worker over a socket that has no name inside; when that connection
 * ends, the sandbox ends. Does not cover: running out of memory together with its commands; the sandbox then ends by
 * its own program's doing, and the host reports it so.
 *
 * Requests: 'B' base environment, 'E' command, 'I' input, 'C' close input, 'K' kill, 'S' open a shell, 'M' run in it,
 * 'G' read, 'W' write, 'T' stat, 'L' list, 'U' remove, 'N' programs, 'J' size of a command's terminal, 'Q' signal
 * to a command, 'A' waits for a processor, 'Y' 'd' 'k' 'f' 'c' forwarded ports (agent-forward.c), 'P' ping. Answers:
 * 'O' 'R' 'H' output, 'X' end of a command, 'i' input taken, 'o' done, 'e' refused with a text, 'D' 'N' 'T' data of
 * files, 'Z' end of a file request.
 */
#include "agent.h"
#include <linux/capability.h>
#include <sys/fsuid.h>

struct agent agent = {.oom_fd = -1, .pressure_fd = -1, .quota_fd = -1};
static struct buffer env_frame; /* the strings of base_env live here */

void agent_answer(uint32_t id, uint8_t type, const void *data, size_t length) { frame_put(&agent.out, id, type, data, length); }
void agent_fail(uint32_t id, const char *text) { agent_answer(id, 'e', text, strlen(text)); }

void agent_watch(int fd, uint32_t kind, uint32_t index, uint32_t events) {
  struct epoll_event e = {.events = events, .data.u64 = (uint64_t)kind << 32 | index};
  epoll_ctl(agent.epoll, EPOLL_CTL_ADD, fd, &e);
}

/* Closing alone does not end a watch: a supervisor that has not started its command yet has a copy. */
void agent_unwatch(int fd) {
  epoll_ctl(agent.epoll, EPOLL_CTL_DEL, fd, NULL);
  close(fd);
}

uint32_t agent_ooms(void) {
  char text[512];
  ssize_t n = agent.oom_fd < 0 ? -1 : pread(agent.oom_fd, text, sizeof text - 1, 0);
  text[n > 0 ? n : 0] = 0;
  const char *p = strstr(text, "oom_kill ");
  return (p ? (uint32_t)atol(p + 9) : 0) + memory_kills();
}

static void base_env(const struct frame *f) {
  static char *list[513];
  struct reader r;
  int n;
  buffer_free(&env_frame);
  buffer_add(&env_frame, f->payload, f->length);
  r = (struct reader){env_frame.data, env_frame.data + f->length, 0};
  agent.base_env = get_strings(&r, list, 512, &n);
  agent_answer(f->id, 'o', NULL, 0);
}

static void serve(struct frame *f) {
  struct reader r = {f->payload, f->payload + f->length, 0};
  if (agent.frozen) return agent_fail(f->id, "the sandbox was frozen");
  switch (f->type) {
    case 'B': return base_env(f);
    case 'E': return job_start(f->id, &r);
    case 'I': return job_input(f->id, &r);
    case 'C': return job_close_input(f->id);
    case 'K': return job_kill(f->id);
    case 'J': return terminal_resize(f->id, &r);
    case 'Q': return job_signal(f->id, &r);
    case 'S': return shell_open(f->id, &r);
    case 'M': return shell_run(f->id, &r);
    case 'F': case 'V': case 'v': case 'w': return container_request(f);
    case 'N': return programs_tell(f->id);
    case 'A': return waited_tell(f->id);
    case 'Y': return forward_open(f->id, &r);
    case 'd': case 'k': case 'f': case 'c': return forward_request(f);
    case 'P': return agent_answer(f->id, 'o', NULL, 0);
    default: return file_request(f);
  }
}

static void from_socket(void) {
  int got = buffer_fill(&agent.in, agent.socket);
  if (got == 0 || (got < 0 && errno != EAGAIN)) _exit(0);
  buffer_reserve(&agent.in, 1); /* the spare byte that ends a string in place */
  struct frame f;
  while ((got = frame_take(&agent.in, &f)) > 0) {
    uint8_t *after = agent.in.data + agent.in.from, kept = *after;
    serve(&f);
    *after = kept; /* a text that was ended in place had borrowed the next frame's first byte */
  }
  if (got < 0) _exit(1);
  if (agent.in.from == agent.in.to && agent.in.room > 2 * CHUNK) buffer_free(&agent.in);
}

static void from_children(void) {
  struct signalfd_siginfo info;
  int status;
  pid_t pid;
  while (read(agent.children, &info, sizeof info) > 0) {}
  while ((pid = waitpid(-1, &status, WNOHANG)) > 0) job_child(pid);
}

static void on_event(uint64_t data, uint32_t events) {
  uint32_t kind = (uint32_t)(data >> 32), index = (uint32_t)data;
  struct job *j = index < MAX_JOBS ? &agent.jobs[index] : NULL;
  if (kind == ON_SOCKET) return from_socket();
  if (kind == ON_CHILD) return from_children();
  if (kind == ON_PORT) return forward_accept(index);
  if (kind == ON_CONNECTION) return forward_event(index, events);
  if (!j || !j->used) return;
  if (kind >= ON_OUTPUT && kind < ON_OUTPUT + OUT_KINDS) job_output(j, (int)(kind - ON_OUTPUT));
  if (kind == ON_STATUS && j->status >= 0) job_status(j);
  if (kind == ON_INPUT) job_writable(j);
  if (kind == ON_SENTINEL) shell_sentinel(j);
}

/* Output that the worker has not taken: stop reading programs above the mark, go on below it. */
static void flush(void) {
  int r = buffer_flush(&agent.out, agent.socket);
  if (r < 0) _exit(0);
  if (r != agent.want_write) {
    struct epoll_event e = {.events = r ? EPOLLIN | EPOLLOUT : EPOLLIN, .data.u64 = (uint64_t)ON_SOCKET << 32 | MAX_JOBS};
    epoll_ctl(agent.epoll, EPOLL_CTL_MOD, agent.socket, &e);
    agent.want_write = r;
  }
  int full = agent.out.to - agent.out.from > OUT_HIGH;
  if (full == agent.paused) return;
  agent.paused = full;
  jobs_pause(full);
  forward_pause();
}

static void loop(void) {
  for (;;) {
    struct epoll_event events[64];
    double first = jobs_deadline(), look = memory_deadline();
    if (look > 0 && (first <= 0 || look < first)) first = look;
    double wait = first - now_ms();
    int n = epoll_wait(agent.epoll, events, 64, first <= 0 ? -1 : wait <= 0 ? 0 : (int)wait + 1);
    for (int i = 0; i < n; i++) on_event(events[i].data.u64, events[i].events);
    jobs_expire();
    memory_look();
    flush();
  }
}

/* Root mode: from the namespace's root to an id of its own, keeping the bounded capabilities; files are made as root. */
static void take_own_id(void) {
  struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct caps[2];
  if (syscall(SYS_capget, &head, caps) < 0) _exit(3);
  prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0);
  if (syscall(SYS_setresgid, AGENT_ID, AGENT_ID, AGENT_ID) < 0 || syscall(SYS_setresuid, AGENT_ID, AGENT_ID, AGENT_ID) < 0) _exit(3);
  caps[0].effective = caps[0].permitted;
  caps[1].effective = caps[1].permitted;
  if (syscall(SYS_capset, &head, caps) < 0) _exit(3);
  setfsgid(0);
  setfsuid(0);
  syscall(SYS_capset, &head, caps);
}

int agent_main(int argc, char **argv) {
  sigset_t all;
  int exporter = argc > 1 && argv[1][0] == 'x';
  agent.root_mode = argc > 1 && argv[1][0] == 'r';
  umask(022);
  if (agent.root_mode) take_own_id();
  prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0); /* last of the id changes: they clear it */
  if (install_seccomp() < 0) _exit(4);
  int *const counters[COUNTERS] = {&agent.oom_fd, &agent.pressure_fd, &agent.quota_fd};
  for (int i = 0; i < COUNTERS; i++) {
    if (argc > 1 && argv[1][1 + i] == '+' && fcntl(4 + i, F_SETFD, FD_CLOEXEC) == 0) *counters[i] = 4 + i;
    else close(4 + i); /* another copy of the listening socket */
  }
  if (argc > 2) agent.memory_limit = strtoull(argv[2], NULL, 10);
  if (!exporter) {
    int nothing = open("/dev/null", O_RDWR);
    for (int i = 0; i < 3; i++) if (nothing != i) dup2(nothing, i);
    if (nothing > 2) close(nothing);
  }
  sigfillset(&all);
  sigprocmask(SIG_SETMASK, &all, NULL);
  agent.socket = accept4(3, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
  close(3);
  if (agent.socket < 0) _exit(0);
  if (!exporter) return agent_serve();
  agent_answer(0, 'A', NULL, 0);
  if (buffer_flush(&agent.out, agent.socket) < 0) _exit(0);
  return exporter_main();
}

/* Says that it runs, then serves the connection until it ends. */
int agent_serve(void) {
  sigset_t child;
  agent_answer(0, 'A', NULL, 0);
  if (buffer_flush(&agent.out, agent.socket) < 0) _exit(0);
  agent.epoll = epoll_create1(EPOLL_CLOEXEC);
  sigemptyset(&child);
  sigaddset(&child, SIGCHLD);
  agent.children = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
  agent_watch(agent.socket, ON_SOCKET, MAX_JOBS, EPOLLIN);
  agent_watch(agent.children, ON_CHILD, MAX_JOBS, EPOLLIN);
  loop();
  return 0;
}
