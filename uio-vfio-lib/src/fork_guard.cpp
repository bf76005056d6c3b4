// SPDX-License-Identifier: MIT
#include "fork_guard.hpp"

#include <pthread.h>

#include <mutex>

namespace uiovfio::detail {

/// Those there are, in a list that is made of them: neither joining nor a fork() allocates.
class ForkGuard {
  public:
    static ForkGuard& the() {
        static ForkGuard guard;
        return guard;
    }

    void join(ForkGuarded& one) noexcept {
        const std::lock_guard lock{mutex_};
        one.next_ = first_;
        if (first_ != nullptr) first_->previous_ = &one;
        first_ = &one;
    }

    void leave(ForkGuarded& one) noexcept {
        const std::lock_guard lock{mutex_};
        (one.previous_ != nullptr ? one.previous_->next_ : first_) = one.next_;
        if (one.next_ != nullptr) one.next_->previous_ = one.previous_;
    }

  private:
    ForkGuard() {
        // Fails only for want of memory; then a child is as dangerous as it is without this library.
        ::pthread_atfork([] { the().mutex_.lock(); }, [] { the().mutex_.unlock(); }, [] { the().in_child(); });
    }

    void in_child() noexcept {
        for (ForkGuarded* one = first_; one != nullptr; one = one->next_) one->give_up_to_parent();
        mutex_.unlock();
    }

    std::mutex mutex_;  // guards what follows, and every link; held over a fork(), so that the child's list is whole
    ForkGuarded* first_ = nullptr;
};

ForkGuarded::ForkGuarded() { ForkGuard::the().join(*this); }
ForkGuarded::~ForkGuarded() { ForkGuard::the().leave(*this); }

}  // namespace uiovfio::detail
