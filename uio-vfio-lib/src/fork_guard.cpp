// SPDX-License-Identifier: MIT
#include "fork_guard.hpp"

#include <pthread.h>

namespace uiovfio::detail {

ForkList& ForkList::the() {
    static auto& list = *new ForkList;  // not destroyed: objects may outlive every order of destruction
    return list;
}

ForkList::ForkList() {
    // Fails only for want of memory; then a child is as dangerous as it is without this library.
    ::pthread_atfork(
        [] {
            the().mutex_.lock();
            for (ForkListed* one = the().first_; one != nullptr; one = one->next_) one->before_fork();
        },
        [] {
            for (ForkListed* one = the().first_; one != nullptr; one = one->next_) one->after_fork_in_parent();
            the().mutex_.unlock();
        },
        [] {
            for (ForkListed* one = the().first_; one != nullptr; one = one->next_) one->after_fork_in_child();
            the().mutex_.unlock();
        });
}

void ForkList::join(ForkListed& one) noexcept {
    const std::lock_guard lock{mutex_};
    one.next_ = first_;
    if (first_ != nullptr) first_->previous_ = &one;
    first_ = &one;
    one.is_listed_ = true;
}

void ForkList::leave(ForkListed& one) noexcept {
    const std::lock_guard lock{mutex_};
    if (!std::exchange(one.is_listed_, false)) return;
    (one.previous_ != nullptr ? one.previous_->next_ : first_) = one.next_;
    if (one.next_ != nullptr) one.next_->previous_ = one.previous_;
    one.previous_ = one.next_ = nullptr;
}

}  // namespace uiovfio::detail
