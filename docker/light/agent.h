/* agent.h: what the files of the agent share. */
#ifndef POLYGYM_AGENT_H
#define POLYGYM_AGENT_H
#include "light.h"

#define MAX_JOBS 160      /* commands and shells at once in one sandbox */
#define MAX_ARGUMENTS 65536
#define OUT_HIGH (512u << 10) /* stop reading programs while so much waits for the worker */
#define TOLD_BYTES (32u << 10) /* of input that a program has taken: then the worker is told, which sends more at 64 KiB */
#define NO_DEADLINE 0
#define EXITED_WITH(code) ((code) << 8) /* as waitpid has it */
#define MAX_GRANTED 60000 /* ms beyond a time-out, and never more than three times it: mostWithheldMs of core/sandbox.ts */
#define LEAST_GRANTED 5   /* ms; less was no reason for being late */
#define MAX_CONNECTIONS 64 /* of all forwarded ports at once; each may hold half a megabyte */

enum { OUT_STDOUT, OUT_STDERR, OUT_CHANNEL, OUT_KINDS };
enum { FLAG_MERGE = 1, FLAG_STREAM = 2, FLAG_STDIN = 4, FLAG_CHANNEL = 8, FLAG_PTY = 16 };

/* The last bytes of a stream beyond the part that went out at once. */
struct tail {
  uint8_t *ring;
  uint32_t room, filled, at;
};

/* One command, or one persistent shell with at most one run at a time. */
struct job {
  int used, is_shell, answered, timed_out, killed;
  uint32_t id, run; /* `run` is the frame id that answers go to */
  pid_t supervisor;
  int in, status, out[OUT_KINDS], watched[OUT_KINDS];
  int sentinel, text; /* shell: end-of-run marks; long command texts */
  uint32_t flags, keep;
  uint64_t total[OUT_KINDS];
  struct tail tail[OUT_KINDS];
  double deadline, started;
  uint32_t timeout;
  double waited, granted; /* for a processor: until its start, and given back since */
  struct buffer input; /* waiting for the program's stdin */
  uint32_t untold;     /* bytes of input that the worker was not told of */
  int fed_later, close_input; /* the first: when its stdin has room again */
  uint32_t ooms;
};

struct agent {
  int epoll, socket, children, oom_fd, pressure_fd, quota_fd, root_mode; /* the three counters: -1 where there is none */
  uint64_t memory_limit; /* 0: a control group enforces it */
  struct buffer in, out;
  struct job jobs[MAX_JOBS];
  char **base_env;
  int want_write;
  int paused;              /* the worker is slow: programs are not read */
  uid_t command_id; /* root mode: user and group of commands */
  int container;    /* first process of an engine's container */
  int frozen;       /* everything was killed; nothing may start any more */
};
extern struct agent agent;

void agent_answer(uint32_t id, uint8_t type, const void *data, size_t length);
void agent_fail(uint32_t id, const char *text);
void agent_unwatch(int fd); /* and closes it */
void agent_watch(int fd, uint32_t kind, uint32_t index, uint32_t events);
uint32_t agent_ooms(void);
enum { ON_SOCKET = 1, ON_CHILD, ON_OUTPUT, ON_STATUS = ON_OUTPUT + OUT_KINDS, ON_INPUT, ON_SENTINEL, ON_PORT, ON_CONNECTION };

/* agent-jobs.c: the life of commands */
void job_start(uint32_t id, struct reader *r);
void job_input(uint32_t id, struct reader *r);
void job_close_input(uint32_t id);
void job_kill(uint32_t id);
void job_output(struct job *j, int kind);
void job_status(struct job *j);
void job_writable(struct job *j);
void job_child(pid_t pid);
void job_answer(struct job *j, int status);
void jobs_pause(int paused);
double jobs_deadline(void);
void jobs_expire(void);
struct job *job_find(uint32_t id);
struct job *job_new(uint32_t id);
void job_drop(struct job *j);
void job_begin_run(struct job *j, uint32_t run, uint32_t timeout, uint32_t keep, uint32_t flags);
void job_drain(struct job *j);

/* agent-spawn.c: what happens between fork and exec, and the ends of process trees */
struct spawn {
  char **argv, **envp, *cwd;
  int fds[3], channel, merge, terminal;
  int extra[3]; /* shell: descriptors that become 64, 65, 66; -1 = none */
};
pid_t spawn_supervised(const struct spawn *s, int *status_fd);
int kill_tree(pid_t root);
void kill_all(void);

int agent_serve(void);

/* agent-container.c */
void container_request(const struct frame *f);
void container_file_power(int on);

/* agent-shell.c */
void shell_open(uint32_t id, struct reader *r);
void shell_run(uint32_t id, struct reader *r);
void shell_sentinel(struct job *j);

/* agent-files.c, agent-remove.c, agent-export.c */
void file_request(const struct frame *f);
void file_list(uint32_t id, struct reader *r);
void file_remove(uint32_t id, struct reader *r);
int open_inside(const char *path, uint64_t flags, uint64_t mode);
void file_answer(uint32_t id, int error);
int exporter_main(void);

/* agent-terminal.c */
int terminal_open(struct job *j, struct reader *r);
void terminal_resize(uint32_t id, struct reader *r);
void terminal_end_input(struct job *j);
void job_signal(uint32_t id, struct reader *r);

/* agent-programs.c */
void programs_tell(uint32_t id);

/* agent-forward.c */
void forward_open(uint32_t id, struct reader *r);
void forward_accept(uint32_t index);
void forward_event(uint32_t index, uint32_t events);
void forward_request(const struct frame *f);
void forward_pause(void);

/* agent-memory.c */
uint32_t memory_kills(void);
double memory_deadline(void);
void memory_look(void);

/* agent-waits.c */
void waited_tell(uint32_t id);
void waited_begin(struct job *j);
double waited_more(struct job *j);

void add_base_env(char **env, int n, int room);
int make_pipe(int *ours, int *theirs, int we_read);
char **get_strings(struct reader *r, char **first, int room, int *n);
#endif
