// SPDX-License-Identifier: MIT
#pragma once

/// What a test provokes on purpose, announced so that the suite's HEALTH test does not turn red for it:
///
///     ExpectDmarFault fault{"fault addr 0xdead000"};
///     submit_a_descriptor_that_names(0xdead000);
///     ...                                             // fault's destructor waits until the kernel has logged it
///
/// Patterns are regular expressions in what POSIX (extended) and Python have in common. Announcing is a promise: a
/// pattern that never appears fails the test that announced it. Announce as narrowly as can be, with the address or the
/// register, because a wide pattern hides what it was not meant for.

#include <string>

namespace pcienic::guest {

/// The IOMMU refuses an access of the device: the kernel logs a DMAR fault whose line matches, before this test ends.
class ExpectDmarFault {
  public:
    explicit ExpectDmarFault(std::string pattern = "fault addr 0x");
    ExpectDmarFault(const ExpectDmarFault&) = delete;
    ExpectDmarFault& operator=(const ExpectDmarFault&) = delete;

    /// Fails the test if the line does not come.
    ~ExpectDmarFault();

  private:
    std::string pattern_;
    int kernel_log_;
};

/// The device reports a mistake of its driver (LOG_GUEST_ERROR): a line of QEMU's log matches, anywhere in the run,
/// any number of times. The host looks for it when it reports on this test.
class ExpectGuestError {
  public:
    explicit ExpectGuestError(const std::string& pattern);
};

/// QEMU traces an event of those that the suite asks for (TRACE): a line of its log matches, anywhere in the run. The
/// host looks for it when it reports on this test.
class ExpectTrace {
  public:
    explicit ExpectTrace(const std::string& pattern);
};

}  // namespace pcienic::guest
