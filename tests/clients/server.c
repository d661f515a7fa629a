/* SPDX-License-Identifier: MIT */
/* server.c - real servers on a Unix socket. See server.h. */
#define _GNU_SOURCE
#include "server.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <glob.h>
#include <grp.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pwd.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { START_SECONDS = 120 };

static int problem(struct server *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static int problem(struct server *s, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    vsnprintf(s->problem, sizeof(s->problem), fmt, args);
    va_end(args);
    return -1;
}

static void nap(void)
{
    struct timespec t = {.tv_nsec = 5000000};

    nanosleep(&t, NULL);
}

int server_folder(struct server *s)
{
    *s = (struct server){.folder = "/tmp/runnel-XXXXXX"};
    if (!mkdtemp(s->folder))
        return problem(s, "mkdtemp: %s", strerror(errno));
    return 0;
}

/* The user to run as: root's servers refuse to run as root. NULL: whoever we are. */
static const struct passwd *ordinary_user(const char *name)
{
    const struct passwd *user = geteuid() == 0 ? getpwnam(name) : NULL;

    return user || geteuid() != 0 ? user : getpwnam("nobody");
}

/* Start argv as user, its output in the log. It is killed when the calling thread ends. */
static pid_t start(const struct server *s, const struct passwd *user, char *const argv[])
{
    char log[128];
    pid_t pid, parent = getpid();

    snprintf(log, sizeof(log), "%s/log", s->folder);
    fflush(NULL);
    pid = fork();
    if (pid != 0)
        return pid;
    {
        int in = open("/dev/null", O_RDONLY), out = open(log, O_WRONLY | O_CREAT | O_APPEND, 0666);

        dup2(in, 0);
        dup2(out, 1);
        dup2(out, 2);
        closefrom(3);
    }
    if (user && (setgroups(0, NULL) != 0 || setgid(user->pw_gid) != 0 || setuid(user->pw_uid) != 0))
        _exit(126);
    /* After the change of user, which would clear it. */
    if (prctl(PR_SET_PDEATHSIG, s->stop_signal ? s->stop_signal : SIGKILL) != 0 ||
        getppid() != parent)
        _exit(126);
    setenv("LC_ALL", "C", 1);
    unsetenv("LD_PRELOAD");
    execvp(argv[0], argv);
    fprintf(stderr, "%s: %s\n", argv[0], strerror(errno));
    _exit(127);
}

/* Does something listen at the socket? */
static bool listens(const struct server *s, const char *path)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool there;

    (void)s;
    memcpy(at.sun_path, path, strnlen(path, sizeof(at.sun_path) - 1));
    there = connect(fd, (const struct sockaddr *)&at, sizeof(at)) == 0;
    close(fd);
    return there;
}

/* PostgreSQL listens before it serves. When it does it says so in the file that begins with its number. */
static bool postgres_serves(const struct server *s, const char *pid_file)
{
    char text[1024] = "";
    FILE *f = fopen(pid_file, "r");

    if (!f)
        return false;
    text[fread(text, 1, sizeof(text) - 1, f)] = 0;
    fclose(f);
    return atoi(text) == s->pid && strstr(text, "\nready");
}

static int wait_ready(struct server *s, bool (*ready)(const struct server *, const char *),
                      const char *path)
{
    for (int i = 0; i < START_SECONDS * 200; i++) {
        int status;

        if (ready(s, path))
            return 0;
        if (waitpid(s->pid, &status, WNOHANG) == s->pid) {
            s->pid = 0;
            return problem(s, "it ended with wait status 0x%x instead of serving",
                           (unsigned)status);
        }
        nap();
    }
    return problem(s, "it does not serve after %d s", START_SECONDS);
}

int server_redis(struct server *s)
{
    char arg_dir[64], arg_socket[128];
    char *argv[] = {(char[]){"redis-server"},
                    (char[]){"--port"},
                    (char[]){"0"},
                    (char[]){"--unixsocket"},
                    arg_socket,
                    (char[]){"--dir"},
                    arg_dir,
                    (char[]){"--save"},
                    (char[]){""},
                    (char[]){"--appendonly"},
                    (char[]){"no"},
                    (char[]){"--daemonize"},
                    (char[]){"no"},
                    (char[]){"--maxclients"},
                    (char[]){"200"},
                    NULL};

    if (server_folder(s) != 0)
        return -1;
    if (access("/usr/bin/redis-server", X_OK) != 0)
        return problem(s, "redis-server is not installed (Debian: redis-server)");
    snprintf(s->socket, sizeof(s->socket), "%s/redis.sock", s->folder);
    snprintf(arg_socket, sizeof(arg_socket), "%s", s->socket);
    snprintf(arg_dir, sizeof(arg_dir), "%s", s->folder);
    s->stop_signal = SIGKILL; /* it has nothing to keep */
    s->pid = start(s, NULL, argv);
    if (s->pid < 0)
        return problem(s, "fork: %s", strerror(errno));
    return wait_ready(s, listens, s->socket);
}

/* The folder of PostgreSQL's programs: on Debian they are in no PATH. */
static bool postgres_bin(char *into, size_t size)
{
    glob_t found;
    bool ok = glob("/usr/lib/postgresql/*/bin/postgres", 0, NULL, &found) == 0;

    if (ok) {
        const char *last = found.gl_pathv[found.gl_pathc - 1];

        snprintf(into, size, "%.*s", (int)(strlen(last) - strlen("/postgres")), last);
        globfree(&found);
    }
    return ok;
}

/* data_kept: a folder for the data, made if it is not there and used again if it is; NULL: a new one each time. */
int server_postgres(struct server *s, const char *data_kept)
{
    const struct passwd *user = ordinary_user("postgres");
    char bin[64], initdb[96], postgres[96], data[512], version[sizeof(data) + 12],
        pid_file[sizeof(data) + 16];
    int status = 0;

    if (server_folder(s) != 0)
        return -1;
    if (!postgres_bin(bin, sizeof(bin)))
        return problem(s, "PostgreSQL is not installed (Debian: postgresql)");
    snprintf(initdb, sizeof(initdb), "%s/initdb", bin);
    snprintf(postgres, sizeof(postgres), "%s/postgres", bin);
    snprintf(data, sizeof(data), "%s%s", data_kept ? data_kept : s->folder,
             data_kept ? "" : "/data");
    snprintf(version, sizeof(version), "%s/PG_VERSION", data);
    if (user && chown(s->folder, user->pw_uid, user->pw_gid) != 0)
        return problem(s, "chown: %s", strerror(errno));
    if (access(version, F_OK) != 0) {
        char *argv[] = {initdb,
                        (char[]){"-D"},
                        data,
                        (char[]){"-A"},
                        (char[]){"trust"},
                        (char[]){"-U"},
                        (char[]){"postgres"},
                        (char[]){"-N"},
                        (char[]){"--locale=C"},
                        NULL};
        pid_t pid;

        if (mkdir(data, 0700) != 0 && errno != EEXIST)
            return problem(s, "mkdir %s: %s", data, strerror(errno));
        if (user && chown(data, user->pw_uid, user->pw_gid) != 0)
            return problem(s, "chown: %s", strerror(errno));
        pid = start(s, user, argv);
        while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
            ;
        if (pid < 0 || status != 0)
            return problem(s, "initdb: wait status 0x%x", (unsigned)status);
    }
    {
        char *argv[] = {postgres,
                        (char[]){"-D"},
                        data,
                        (char[]){"-k"},
                        s->folder,
                        (char[]){"-c"},
                        (char[]){"listen_addresses="},
                        (char[]){"-c"},
                        (char[]){"max_connections=80"},
                        (char[]){"-c"},
                        (char[]){"fsync=off"},
                        (char[]){"-c"},
                        (char[]){"shared_buffers=4MB"},
                        NULL};

        s->stop_signal = SIGQUIT; /* at once: it has nothing to keep */
        s->pid = start(s, user, argv);
    }
    if (s->pid < 0)
        return problem(s, "fork: %s", strerror(errno));
    snprintf(s->socket, sizeof(s->socket), "host=%s user=postgres dbname=postgres", s->folder);
    snprintf(pid_file, sizeof(pid_file), "%s/postmaster.pid", data);
    return wait_ready(s, postgres_serves, pid_file);
}

/* Ports that are free: they were a moment ago. */
static int free_ports(struct server *s)
{
    int fds[SERVER_PORTS], n = 0;

    for (; n < SERVER_PORTS; n++) {
        struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
        socklen_t size = sizeof(a);

        fds[n] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fds[n] < 0 || bind(fds[n], (const struct sockaddr *)&a, size) != 0 ||
            getsockname(fds[n], (struct sockaddr *)&a, &size) != 0)
            return problem(s, "no free port: %s", strerror(errno));
        s->ports[n] = ntohs(a.sin_port);
    }
    while (n > 0)
        close(fds[--n]);
    return 0;
}

/* nginx writes its number down once it has all its ports. */
static bool nginx_serves(const struct server *s, const char *pid_file)
{
    FILE *f = fopen(pid_file, "r");
    int pid = 0;

    if (!f)
        return false;
    (void)!fscanf(f, "%d", &pid);
    fclose(f);
    return pid == s->pid;
}

static int write_conf(const struct server *s, const char *path, const char *conf)
{
    FILE *f = fopen(path, "w");

    if (!f)
        return -1;
    fprintf(f,
            "daemon off;\nmaster_process off;\npid %s/nginx.pid;\nerror_log stderr warn;\n"
            "events { worker_connections 1000; }\nhttp {\naccess_log off;\n"
            "client_body_temp_path %s/t1;\nproxy_temp_path %s/t2;\nfastcgi_temp_path %s/t3;\n"
            "uwsgi_temp_path %s/t4;\nscgi_temp_path %s/t5;\n",
            s->folder, s->folder, s->folder, s->folder, s->folder, s->folder);
    for (const char *c = conf; *c; c++) {
        if (strncmp(c, "$FOLDER", 7) == 0) {
            fputs(s->folder, f);
            c += 6;
        } else if (strncmp(c, "$PORT", 5) == 0) {
            fprintf(f, "%d", s->ports[c[5] - '0']);
            c += 5;
        } else {
            fputc(*c, f);
        }
    }
    fputs("\n}\n", f);
    return fclose(f);
}

int server_nginx(struct server *s, const char *conf)
{
    const struct passwd *user = ordinary_user("www-data");
    char path[128], pid_file[128];
    /* Debian has it in root's PATH alone. */
    char nginx[] = "/usr/sbin/nginx";
    char *argv[] = {access(nginx, X_OK) == 0 ? nginx : nginx + strlen("/usr/sbin/"),
                    (char[]){"-e"},
                    (char[]){"stderr"},
                    (char[]){"-c"},
                    path,
                    NULL};

    if (user && chown(s->folder, user->pw_uid, user->pw_gid) != 0)
        return problem(s, "chown: %s", strerror(errno));
    snprintf(path, sizeof(path), "%s/nginx.conf", s->folder);
    snprintf(pid_file, sizeof(pid_file), "%s/nginx.pid", s->folder);
    s->stop_signal = SIGTERM;
    /* Somebody else may take a port before nginx does. */
    for (int i = 0; i < 5; i++) {
        if (free_ports(s) != 0)
            return -1;
        if (write_conf(s, path, conf) != 0)
            return problem(s, "%s: %s", path, strerror(errno));
        s->pid = start(s, user, argv);
        if (s->pid < 0)
            return problem(s, "fork: %s", strerror(errno));
        if (wait_ready(s, nginx_serves, pid_file) == 0)
            return 0;
    }
    server_show_log(s);
    return problem(s, "nginx does not start (Debian: nginx-light)");
}

void server_show_log(const struct server *s)
{
    char path[128], line[512];
    FILE *f;

    snprintf(path, sizeof(path), "%s/log", s->folder);
    f = fopen(path, "r");
    while (f && fgets(line, sizeof(line), f))
        fprintf(stderr, "  server: %s", line);
    if (f)
        fclose(f);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *where)
{
    (void)st;
    (void)type;
    (void)where;
    return remove(path);
}

void server_stop(struct server *s)
{
    if (s->pid > 0) {
        int status;

        kill(s->pid, s->stop_signal);
        for (int i = 0; i < 2000 && waitpid(s->pid, &status, WNOHANG) == 0; i++) {
            if (i == 1999)
                kill(s->pid, SIGKILL);
            nap();
        }
        s->pid = 0;
    }
    if (s->folder[0])
        nftw(s->folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    s->folder[0] = 0;
}
