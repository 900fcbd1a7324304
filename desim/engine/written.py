"""The wrappers of the shapes that a run of ``hello`` needs: see ``desim.engine.wrappers``.

``python -m benchmarks.shapes --write`` writes this file, and the gate holds it.
"""


def maker_0(env, method, code0, enter0, sized0, leave0):
    out0 = code0 + 1
    def stage(self):
        thread = env.running
        if thread is None:
            return method(self)
        now = thread.now
        thread.marks.append(now << 16 | code0)
        try:
            return method(self)
        finally:
            now = thread.now
            thread.marks.append(now << 16 | out0)
    return stage


def maker_1(env, method, code0, enter0, sized0, leave0, code1, enter1, sized1, leave1):
    out0 = code0 + 1
    out1 = code1 + 1
    def stage(self):
        thread = env.running
        if thread is None:
            return method(self)
        now = thread.now
        thread.marks.append(now << 16 | code0)
        thread.marks.append(now << 16 | code1)
        try:
            return method(self)
        finally:
            now = thread.now
            thread.marks.append(now << 16 | out1)
            thread.marks.append(now << 16 | out0)
    return stage


def maker_2(env, method, code0, enter0, sized0, leave0, code1, enter1, sized1, leave1):
    out0 = code0 + 1
    out1 = code1 + 1
    def stage(self):
        thread = env.running
        if thread is None:
            return method(self)
        now = thread.now
        thread.marks.append(now << 16 | code0)
        thread.marks.append(now << 16 | code1)
        now += enter1
        thread.now = now
        try:
            return method(self)
        finally:
            now = thread.now
            thread.marks.append(now << 16 | out1)
            thread.marks.append(now << 16 | out0)
    return stage


def maker_3(env, method, code0, enter0, sized0, leave0):
    out0 = code0 + 1
    def stage(self):
        thread = env.running
        if thread is None:
            return method(self)
        now = thread.now
        thread.marks.append(now << 16 | code0)
        now += enter0
        thread.now = now
        try:
            return method(self)
        finally:
            now = thread.now
            thread.marks.append(now << 16 | out0)
    return stage


def maker_4(env, method, code0, enter0, sized0, leave0, code1, enter1, sized1, leave1):
    out0 = code0 + 1
    out1 = code1 + 1
    def stage(self):
        thread = env.running
        if thread is None:
            return method(self)
        now = thread.now
        thread.marks.append(now << 16 | code0)
        now += enter0
        thread.marks.append(now << 16 | code1)
        thread.now = now
        try:
            return method(self)
        finally:
            now = thread.now
            thread.marks.append(now << 16 | out1)
            thread.marks.append(now << 16 | out0)
    return stage


def maker_5(env, method, code0, enter0, sized0, leave0, code1, enter1, sized1, leave1, code2, enter2, sized2, leave2):
    out0 = code0 + 1
    out1 = code1 + 1
    out2 = code2 + 1
    def stage(self):
        thread = env.running
        if thread is None:
            return method(self)
        now = thread.now
        thread.marks.append(now << 16 | code0)
        now += enter0
        thread.marks.append(now << 16 | code1)
        thread.marks.append(now << 16 | code2)
        thread.now = now
        try:
            return method(self)
        finally:
            now = thread.now
            thread.marks.append(now << 16 | out2)
            thread.marks.append(now << 16 | out1)
            thread.marks.append(now << 16 | out0)
    return stage


def maker_6(env, method, code0, enter0, sized0, leave0):
    out0 = code0 + 1
    def stage(self):
        thread = env.running
        if thread is None:
            return method(self)
        now = thread.now
        thread.marks.append(now << 16 | code0)
        now += enter0
        thread.now = now
        try:
            return method(self)
        finally:
            now = thread.now
            now += leave0
            thread.marks.append(now << 16 | out0)
            thread.now = now
    return stage


def maker_7(env, method, code0, enter0, sized0, leave0):
    out0 = code0 + 1
    def stage(self, a0):
        thread = env.running
        if thread is None:
            return method(self, a0)
        now = thread.now
        thread.marks.append(now << 16 | code0)
        try:
            return method(self, a0)
        finally:
            now = thread.now
            thread.marks.append(now << 16 | out0)
    return stage


def maker_8(env, method, code0, enter0, sized0, leave0, code1, enter1, sized1, leave1):
    out0 = code0 + 1
    out1 = code1 + 1
    def stage(self, a0):
        thread = env.running
        if thread is None:
            return method(self, a0)
        now = thread.now
        thread.marks.append(now << 16 | code0)
        thread.marks.append(now << 16 | code1)
        try:
            return method(self, a0)
        finally:
            now = thread.now
            thread.marks.append(now << 16 | out1)
            thread.marks.append(now << 16 | out0)
    return stage


def maker_9(env, method, code0, enter0, sized0, leave0, code1, enter1, sized1, leave1, code2, enter2, sized2, leave2):
    out0 = code0 + 1
    out1 = code1 + 1
    out2 = code2 + 1
    def stage(self, a0):
        thread = env.running
        if thread is None:
            return method(self, a0)
        now = thread.now
        thread.marks.append(now << 16 | code0)
        thread.marks.append(now << 16 | code1)
        thread.marks.append(now << 16 | code2)
        now += enter2
        thread.now = now
        try:
            return method(self, a0)
        finally:
            now = thread.now
            thread.marks.append(now << 16 | out2)
            thread.marks.append(now << 16 | out1)
            thread.marks.append(now << 16 | out0)
    return stage


def maker_10(env, method, code0, enter0, sized0, leave0, code1, enter1, sized1, leave1):
    out0 = code0 + 1
    out1 = code1 + 1
    def stage(self, a0):
        thread = env.running
        if thread is None:
            return method(self, a0)
        now = thread.now
        thread.marks.append(now << 16 | code0)
        thread.marks.append(now << 16 | code1)
        now += enter1
        thread.now = now
        try:
            return method(self, a0)
        finally:
            now = thread.now
            thread.marks.append(now << 16 | out1)
            thread.marks.append(now << 16 | out0)
    return stage


def maker_11(env, method, code0, enter0, sized0, leave0):
    out0 = code0 + 1
    def stage(self, a0):
        thread = env.running
        if thread is None:
            return method(self, a0)
        now = thread.now
        thread.marks.append(now << 16 | code0)
        now += enter0
        thread.now = now
        try:
            return method(self, a0)
        finally:
            now = thread.now
            thread.marks.append(now << 16 | out0)
    return stage


def maker_12(env, method, code0, enter0, sized0, leave0, code1, enter1, sized1, leave1):
    out0 = code0 + 1
    out1 = code1 + 1
    def stage(self, a0):
        thread = env.running
        if thread is None:
            return method(self, a0)
        now = thread.now
        thread.marks.append(now << 16 | code0)
        now += enter0
        thread.marks.append(now << 16 | code1)
        thread.now = now
        try:
            return method(self, a0)
        finally:
            now = thread.now
            thread.marks.append(now << 16 | out1)
            thread.marks.append(now << 16 | out0)
    return stage


def maker_13(env, method, code0, enter0, sized0, leave0):
    out0 = code0 + 1
    def stage(self, a0):
        thread = env.running
        if thread is None:
            return method(self, a0)
        now = thread.now
        thread.marks.append(now << 16 | code0)
        now += enter0
        thread.now = now
        try:
            return method(self, a0)
        finally:
            now = thread.now
            now += leave0
            thread.marks.append(now << 16 | out0)
            thread.now = now
    return stage


def maker_14(env, method, code0, enter0, sized0, leave0):
    out0 = code0 + 1
    def stage(self, a0):
        thread = env.running
        if thread is None:
            return method(self, a0)
        size = len(a0)
        now = thread.now
        thread.marks.append(now << 16 | code0)
        now += sized0[size]
        thread.now = now
        try:
            return method(self, a0)
        finally:
            now = thread.now
            thread.marks.append(now << 16 | out0)
    return stage


def maker_15(env, method, code0, enter0, sized0, leave0, code1, enter1, sized1, leave1):
    out0 = code0 + 1
    out1 = code1 + 1
    def stage(self, a0):
        thread = env.running
        if thread is None:
            return method(self, a0)
        size = len(a0.head)
        now = thread.now
        thread.marks.append(now << 16 | code0)
        now += enter0
        thread.marks.append(now << 16 | code1)
        now += sized1[size]
        thread.now = now
        try:
            return method(self, a0)
        finally:
            now = thread.now
            thread.marks.append(now << 16 | out1)
            thread.marks.append(now << 16 | out0)
    return stage


def maker_16(env, method, code0, enter0, sized0, leave0):
    out0 = code0 + 1
    def stage(self, a0):
        thread = env.running
        if thread is None:
            return method(self, a0)
        size = len(a0.raw)
        now = thread.now
        thread.marks.append(now << 16 | code0)
        now += sized0[size]
        thread.now = now
        try:
            return method(self, a0)
        finally:
            now = thread.now
            thread.marks.append(now << 16 | out0)
    return stage


def maker_17(env, method, code0, enter0, sized0, leave0):
    out0 = code0 + 1
    def stage(self, a0):
        thread = env.running
        if thread is None:
            return method(self, a0)
        size = len(a0.raw)
        now = thread.now
        thread.marks.append(now << 16 | code0)
        now += sized0[size]
        thread.now = now
        try:
            return method(self, a0)
        finally:
            now = thread.now
            now += leave0
            thread.marks.append(now << 16 | out0)
            thread.now = now
    return stage


def maker_18(env, method, code0, enter0, sized0, leave0):
    out0 = code0 + 1
    def stage(self, a0, a1):
        thread = env.running
        if thread is None:
            return method(self, a0, a1)
        now = thread.now
        thread.marks.append(now << 16 | code0)
        try:
            return method(self, a0, a1)
        finally:
            now = thread.now
            thread.marks.append(now << 16 | out0)
    return stage


def maker_19(env, method, code0, enter0, sized0, leave0, code1, enter1, sized1, leave1):
    out0 = code0 + 1
    out1 = code1 + 1
    def stage(self, a0, a1):
        thread = env.running
        if thread is None:
            return method(self, a0, a1)
        now = thread.now
        thread.marks.append(now << 16 | code0)
        thread.marks.append(now << 16 | code1)
        try:
            return method(self, a0, a1)
        finally:
            now = thread.now
            thread.marks.append(now << 16 | out1)
            thread.marks.append(now << 16 | out0)
    return stage


def maker_20(env, method, code0, enter0, sized0, leave0, code1, enter1, sized1, leave1):
    out0 = code0 + 1
    out1 = code1 + 1
    def stage(self, a0, a1):
        thread = env.running
        if thread is None:
            return method(self, a0, a1)
        now = thread.now
        thread.marks.append(now << 16 | code0)
        thread.marks.append(now << 16 | code1)
        now += enter1
        thread.now = now
        try:
            return method(self, a0, a1)
        finally:
            now = thread.now
            thread.marks.append(now << 16 | out1)
            thread.marks.append(now << 16 | out0)
    return stage


def maker_21(env, method, code0, enter0, sized0, leave0):
    out0 = code0 + 1
    def stage(self, a0, a1):
        thread = env.running
        if thread is None:
            return method(self, a0, a1)
        now = thread.now
        thread.marks.append(now << 16 | code0)
        now += enter0
        thread.now = now
        try:
            return method(self, a0, a1)
        finally:
            now = thread.now
            thread.marks.append(now << 16 | out0)
    return stage


def maker_22(env, method, code0, enter0, sized0, leave0, code1, enter1, sized1, leave1):
    out0 = code0 + 1
    out1 = code1 + 1
    def stage(self, a0, a1):
        thread = env.running
        if thread is None:
            return method(self, a0, a1)
        now = thread.now
        thread.marks.append(now << 16 | code0)
        now += enter0
        thread.marks.append(now << 16 | code1)
        thread.now = now
        try:
            return method(self, a0, a1)
        finally:
            now = thread.now
            thread.marks.append(now << 16 | out1)
            thread.marks.append(now << 16 | out0)
    return stage


def maker_23(env, method, code0, enter0, sized0, leave0, code1, enter1, sized1, leave1):
    out0 = code0 + 1
    out1 = code1 + 1
    def stage(self, a0, a1):
        thread = env.running
        if thread is None:
            return method(self, a0, a1)
        now = thread.now
        thread.marks.append(now << 16 | code0)
        now += enter0
        thread.marks.append(now << 16 | code1)
        now += enter1
        thread.now = now
        try:
            return method(self, a0, a1)
        finally:
            now = thread.now
            thread.marks.append(now << 16 | out1)
            thread.marks.append(now << 16 | out0)
    return stage


def maker_24(env, method, code0, enter0, sized0, leave0):
    out0 = code0 + 1
    def stage(self, a0, a1):
        thread = env.running
        if thread is None:
            return method(self, a0, a1)
        now = thread.now
        thread.marks.append(now << 16 | code0)
        now += enter0
        thread.now = now
        try:
            return method(self, a0, a1)
        finally:
            now = thread.now
            now += leave0
            thread.marks.append(now << 16 | out0)
            thread.now = now
    return stage


def maker_25(env, method, code0, enter0, sized0, leave0):
    out0 = code0 + 1
    def stage(self, a0, a1):
        thread = env.running
        if thread is None:
            return method(self, a0, a1)
        size = len(a1)
        now = thread.now
        thread.marks.append(now << 16 | code0)
        now += sized0[size]
        thread.now = now
        try:
            return method(self, a0, a1)
        finally:
            now = thread.now
            thread.marks.append(now << 16 | out0)
    return stage


def maker_26(env, method, code0, enter0, sized0, leave0):
    out0 = code0 + 1
    def stage(self, a0, a1, a2):
        thread = env.running
        if thread is None:
            return method(self, a0, a1, a2)
        now = thread.now
        thread.marks.append(now << 16 | code0)
        try:
            return method(self, a0, a1, a2)
        finally:
            now = thread.now
            thread.marks.append(now << 16 | out0)
    return stage


def maker_27(env, method, code0, enter0, sized0, leave0, code1, enter1, sized1, leave1):
    out0 = code0 + 1
    out1 = code1 + 1
    def stage(self, a0, a1, a2):
        thread = env.running
        if thread is None:
            return method(self, a0, a1, a2)
        now = thread.now
        thread.marks.append(now << 16 | code0)
        thread.marks.append(now << 16 | code1)
        try:
            return method(self, a0, a1, a2)
        finally:
            now = thread.now
            thread.marks.append(now << 16 | out1)
            thread.marks.append(now << 16 | out0)
    return stage


def maker_28(env, method, code0, enter0, sized0, leave0, code1, enter1, sized1, leave1, code2, enter2, sized2, leave2):
    out0 = code0 + 1
    out1 = code1 + 1
    out2 = code2 + 1
    def stage(self, a0, a1, a2):
        thread = env.running
        if thread is None:
            return method(self, a0, a1, a2)
        now = thread.now
        thread.marks.append(now << 16 | code0)
        thread.marks.append(now << 16 | code1)
        thread.marks.append(now << 16 | code2)
        try:
            return method(self, a0, a1, a2)
        finally:
            now = thread.now
            thread.marks.append(now << 16 | out2)
            thread.marks.append(now << 16 | out1)
            thread.marks.append(now << 16 | out0)
    return stage


def maker_29(env, method, code0, enter0, sized0, leave0, code1, enter1, sized1, leave1):
    out0 = code0 + 1
    out1 = code1 + 1
    def stage(self, a0, a1, a2):
        thread = env.running
        if thread is None:
            return method(self, a0, a1, a2)
        now = thread.now
        thread.marks.append(now << 16 | code0)
        thread.marks.append(now << 16 | code1)
        now += enter1
        thread.now = now
        try:
            return method(self, a0, a1, a2)
        finally:
            now = thread.now
            thread.marks.append(now << 16 | out1)
            thread.marks.append(now << 16 | out0)
    return stage


def maker_30(env, method, code0, enter0, sized0, leave0):
    out0 = code0 + 1
    def stage(self, a0, a1, a2):
        thread = env.running
        if thread is None:
            return method(self, a0, a1, a2)
        now = thread.now
        thread.marks.append(now << 16 | code0)
        now += enter0
        thread.now = now
        try:
            return method(self, a0, a1, a2)
        finally:
            now = thread.now
            thread.marks.append(now << 16 | out0)
    return stage


def maker_31(env, method, code0, enter0, sized0, leave0):
    out0 = code0 + 1
    def stage(self, a0, a1, a2):
        thread = env.running
        if thread is None:
            return method(self, a0, a1, a2)
        size = len(a1)
        now = thread.now
        thread.marks.append(now << 16 | code0)
        now += sized0[size]
        thread.now = now
        try:
            return method(self, a0, a1, a2)
        finally:
            now = thread.now
            thread.marks.append(now << 16 | out0)
    return stage


def maker_32(env, method, code0, enter0, sized0, leave0):
    out0 = code0 + 1
    def stage(self, a0, a1, a2):
        thread = env.running
        if thread is None:
            return method(self, a0, a1, a2)
        size = len(a2)
        now = thread.now
        thread.marks.append(now << 16 | code0)
        now += sized0[size]
        thread.now = now
        try:
            return method(self, a0, a1, a2)
        finally:
            now = thread.now
            thread.marks.append(now << 16 | out0)
    return stage


def maker_33(env, method, code0, enter0, sized0, leave0, code1, enter1, sized1, leave1):
    out0 = code0 + 1
    out1 = code1 + 1
    def stage(self, a0, a1, a2, *, override, weak, admin):
        thread = env.running
        if thread is None:
            return method(self, a0, a1, a2, override=override, weak=weak, admin=admin)
        now = thread.now
        thread.marks.append(now << 16 | code0)
        now += enter0
        thread.marks.append(now << 16 | code1)
        thread.now = now
        try:
            return method(self, a0, a1, a2, override=override, weak=weak, admin=admin)
        finally:
            now = thread.now
            thread.marks.append(now << 16 | out1)
            thread.marks.append(now << 16 | out0)
    return stage


def maker_34(env, method, code0, enter0, sized0, leave0):
    out0 = code0 + 1
    def stage(self, a0, a1, a2, a3):
        thread = env.running
        if thread is None:
            return method(self, a0, a1, a2, a3)
        now = thread.now
        thread.marks.append(now << 16 | code0)
        try:
            return method(self, a0, a1, a2, a3)
        finally:
            now = thread.now
            thread.marks.append(now << 16 | out0)
    return stage


def maker_35(env, method, code0, enter0, sized0, leave0, code1, enter1, sized1, leave1):
    out0 = code0 + 1
    out1 = code1 + 1
    def stage(self, a0, a1, a2, a3):
        thread = env.running
        if thread is None:
            return method(self, a0, a1, a2, a3)
        now = thread.now
        thread.marks.append(now << 16 | code0)
        thread.marks.append(now << 16 | code1)
        try:
            return method(self, a0, a1, a2, a3)
        finally:
            now = thread.now
            thread.marks.append(now << 16 | out1)
            thread.marks.append(now << 16 | out0)
    return stage


def maker_36(env, method, code0, enter0, sized0, leave0, code1, enter1, sized1, leave1, code2, enter2, sized2, leave2):
    out0 = code0 + 1
    out1 = code1 + 1
    out2 = code2 + 1
    def stage(self, a0, a1, a2, a3):
        thread = env.running
        if thread is None:
            return method(self, a0, a1, a2, a3)
        now = thread.now
        thread.marks.append(now << 16 | code0)
        thread.marks.append(now << 16 | code1)
        thread.marks.append(now << 16 | code2)
        now += enter2
        thread.now = now
        try:
            return method(self, a0, a1, a2, a3)
        finally:
            now = thread.now
            thread.marks.append(now << 16 | out2)
            thread.marks.append(now << 16 | out1)
            thread.marks.append(now << 16 | out0)
    return stage


def maker_37(env, method, code0, enter0, sized0, leave0):
    out0 = code0 + 1
    def stage(self, a0, a1, a2, a3):
        thread = env.running
        if thread is None:
            return method(self, a0, a1, a2, a3)
        now = thread.now
        thread.marks.append(now << 16 | code0)
        now += enter0
        thread.now = now
        try:
            return method(self, a0, a1, a2, a3)
        finally:
            now = thread.now
            thread.marks.append(now << 16 | out0)
    return stage


def maker_38(env, method, code0, enter0, sized0, leave0):
    out0 = code0 + 1
    def stage(self, a0, a1, a2, a3):
        thread = env.running
        if thread is None:
            return method(self, a0, a1, a2, a3)
        size = len(a0)
        now = thread.now
        thread.marks.append(now << 16 | code0)
        now += sized0[size]
        thread.now = now
        try:
            return method(self, a0, a1, a2, a3)
        finally:
            now = thread.now
            thread.marks.append(now << 16 | out0)
    return stage


def maker_39(env, method, code0, enter0, sized0, leave0):
    out0 = code0 + 1
    def stage(self, a0, a1, a2, a3):
        thread = env.running
        if thread is None:
            return method(self, a0, a1, a2, a3)
        size = len(a2)
        now = thread.now
        thread.marks.append(now << 16 | code0)
        now += sized0[size]
        thread.now = now
        try:
            return method(self, a0, a1, a2, a3)
        finally:
            now = thread.now
            thread.marks.append(now << 16 | out0)
    return stage


def maker_40(env, method, code0, enter0, sized0, leave0):
    out0 = code0 + 1
    def stage(self, a0, a1, a2, a3, a4):
        thread = env.running
        if thread is None:
            return method(self, a0, a1, a2, a3, a4)
        now = thread.now
        thread.marks.append(now << 16 | code0)
        try:
            return method(self, a0, a1, a2, a3, a4)
        finally:
            now = thread.now
            thread.marks.append(now << 16 | out0)
    return stage


def maker_41(env, method, code0, enter0, sized0, leave0):
    out0 = code0 + 1
    def stage(self, a0, a1, a2, a3, a4):
        thread = env.running
        if thread is None:
            return method(self, a0, a1, a2, a3, a4)
        now = thread.now
        thread.marks.append(now << 16 | code0)
        now += enter0
        thread.now = now
        try:
            return method(self, a0, a1, a2, a3, a4)
        finally:
            now = thread.now
            thread.marks.append(now << 16 | out0)
    return stage


def maker_42(env, method, code0, enter0, sized0, leave0):
    out0 = code0 + 1
    def stage(self, a0, a1, a2, a3, a4, a5):
        thread = env.running
        if thread is None:
            return method(self, a0, a1, a2, a3, a4, a5)
        now = thread.now
        thread.marks.append(now << 16 | code0)
        try:
            return method(self, a0, a1, a2, a3, a4, a5)
        finally:
            now = thread.now
            thread.marks.append(now << 16 | out0)
    return stage


def maker_43(env, method, code0, enter0, sized0, leave0):
    out0 = code0 + 1
    def stage(self, a0, a1, a2, a3, a4, a5, a6, a7, a8):
        thread = env.running
        if thread is None:
            return method(self, a0, a1, a2, a3, a4, a5, a6, a7, a8)
        now = thread.now
        thread.marks.append(now << 16 | code0)
        now += enter0
        thread.now = now
        try:
            return method(self, a0, a1, a2, a3, a4, a5, a6, a7, a8)
        finally:
            now = thread.now
            thread.marks.append(now << 16 | out0)
    return stage


MAKERS = {
    (0, (), '', False, 'uncounted', ((True, False, False, False),)): maker_0,
    (0, (), '', False, 'uncounted', ((True, False, False, False), (True, False, False, False))): maker_1,
    (0, (), '', False, 'uncounted', ((True, False, False, False), (True, True, False, False))): maker_2,
    (0, (), '', False, 'uncounted', ((True, True, False, False),)): maker_3,
    (0, (), '', False, 'uncounted', ((True, True, False, False), (True, False, False, False))): maker_4,
    (0, (), '', False, 'uncounted', ((True, True, False, False), (True, False, False, False), (True, False, False, False))): maker_5,
    (0, (), '', False, 'uncounted', ((True, True, False, True),)): maker_6,
    (1, (), '', False, 'uncounted', ((True, False, False, False),)): maker_7,
    (1, (), '', False, 'uncounted', ((True, False, False, False), (True, False, False, False))): maker_8,
    (1, (), '', False, 'uncounted', ((True, False, False, False), (True, False, False, False), (True, True, False, False))): maker_9,
    (1, (), '', False, 'uncounted', ((True, False, False, False), (True, True, False, False))): maker_10,
    (1, (), '', False, 'uncounted', ((True, True, False, False),)): maker_11,
    (1, (), '', False, 'uncounted', ((True, True, False, False), (True, False, False, False))): maker_12,
    (1, (), '', False, 'uncounted', ((True, True, False, True),)): maker_13,
    (1, (), 'a0', False, 'uncounted', ((True, True, True, False),)): maker_14,
    (1, (), 'a0.head', False, 'uncounted', ((True, True, False, False), (True, True, True, False))): maker_15,
    (1, (), 'a0.raw', False, 'uncounted', ((True, True, True, False),)): maker_16,
    (1, (), 'a0.raw', False, 'uncounted', ((True, True, True, True),)): maker_17,
    (2, (), '', False, 'uncounted', ((True, False, False, False),)): maker_18,
    (2, (), '', False, 'uncounted', ((True, False, False, False), (True, False, False, False))): maker_19,
    (2, (), '', False, 'uncounted', ((True, False, False, False), (True, True, False, False))): maker_20,
    (2, (), '', False, 'uncounted', ((True, True, False, False),)): maker_21,
    (2, (), '', False, 'uncounted', ((True, True, False, False), (True, False, False, False))): maker_22,
    (2, (), '', False, 'uncounted', ((True, True, False, False), (True, True, False, False))): maker_23,
    (2, (), '', False, 'uncounted', ((True, True, False, True),)): maker_24,
    (2, (), 'a1', False, 'uncounted', ((True, True, True, False),)): maker_25,
    (3, (), '', False, 'uncounted', ((True, False, False, False),)): maker_26,
    (3, (), '', False, 'uncounted', ((True, False, False, False), (True, False, False, False))): maker_27,
    (3, (), '', False, 'uncounted', ((True, False, False, False), (True, False, False, False), (True, False, False, False))): maker_28,
    (3, (), '', False, 'uncounted', ((True, False, False, False), (True, True, False, False))): maker_29,
    (3, (), '', False, 'uncounted', ((True, True, False, False),)): maker_30,
    (3, (), 'a1', False, 'uncounted', ((True, True, True, False),)): maker_31,
    (3, (), 'a2', False, 'uncounted', ((True, True, True, False),)): maker_32,
    (3, ('override', 'weak', 'admin'), '', False, 'uncounted', ((True, True, False, False), (True, False, False, False))): maker_33,
    (4, (), '', False, 'uncounted', ((True, False, False, False),)): maker_34,
    (4, (), '', False, 'uncounted', ((True, False, False, False), (True, False, False, False))): maker_35,
    (4, (), '', False, 'uncounted', ((True, False, False, False), (True, False, False, False), (True, True, False, False))): maker_36,
    (4, (), '', False, 'uncounted', ((True, True, False, False),)): maker_37,
    (4, (), 'a0', False, 'uncounted', ((True, True, True, False),)): maker_38,
    (4, (), 'a2', False, 'uncounted', ((True, True, True, False),)): maker_39,
    (5, (), '', False, 'uncounted', ((True, False, False, False),)): maker_40,
    (5, (), '', False, 'uncounted', ((True, True, False, False),)): maker_41,
    (6, (), '', False, 'uncounted', ((True, False, False, False),)): maker_42,
    (9, (), '', False, 'uncounted', ((True, True, False, False),)): maker_43,
}
