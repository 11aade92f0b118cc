/* Asks the filter that it runs under about system calls, one a line of standard input (a number and five arguments), and prints the
 * errno of each. None is made: a filter of its own sends every call with a mark in its sixth argument to a tracer, and there is none
 * (ENOSYS); a filter that refuses a call goes before that with its own errno. */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MARK 0x5ec0

int main(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[5])),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, MARK, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof code / sizeof code[0], code};
    unsigned long number, a, b, c, d, e;

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program)) {
        perror("seccomp");
        return 1;
    }
    while (scanf("%lu %lu %lu %lu %lu %lu", &number, &a, &b, &c, &d, &e) == 6) {
        errno = 0;
        syscall((long)number, a, b, c, d, e, (unsigned long)MARK);
        printf("%d\n", errno);
    }
    return 0;
}
