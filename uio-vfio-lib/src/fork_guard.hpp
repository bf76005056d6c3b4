// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// What a fork() must not do: make two owners of a device out of one.
///
/// A child inherits the parent's objects and open files. If it used them, or merely ended and destroyed them, it would
/// stop the device under its parent's feet; and files that it holds open keep the device from being closed when the
/// parent closes it. Memory for DMA and mapped BARs it does not get at all (MADV_DONTFORK). So each object that has a
/// share in a device gives it up in the child, before fork() returns there. The parent pays nothing for it.
///
/// fork() may come while other threads are anywhere, and in the child what they were doing stays half done. So an
/// object is listed only while it is whole, and a lock that a child needs is free there. What another thread has
/// opened, but not made an object of yet, the child holds open until it calls exec() or ends.

#include <memory>
#include <mutex>
#include <utility>

namespace uiovfio::detail {

/// An object that a fork() concerns.
// gcc wants the destructor virtual; nobody deletes through this class, so it is protected all the same.
// NOLINTNEXTLINE(cppcoreguidelines-virtual-class-destructor)
class ForkListed {
  public:
    ForkListed(const ForkListed&) = delete;
    ForkListed& operator=(const ForkListed&) = delete;

  protected:
    ForkListed() noexcept = default;
    virtual ~ForkListed() = default;

    virtual void before_fork() noexcept {}
    virtual void after_fork_in_parent() noexcept {}
    virtual void after_fork_in_child() noexcept = 0;

  private:
    friend class ForkList;
    ForkListed* previous_ = nullptr;
    ForkListed* next_ = nullptr;
    bool is_listed_ = false;
};

/// Those there are, in a list that is made of them: neither joining nor a fork() allocates. Any thread.
class ForkList {
  public:
    static ForkList& the();

    void join(ForkListed& one) noexcept;
    /// Twice is fine.
    void leave(ForkListed& one) noexcept;

    /// Keeps a fork() out meanwhile.
    template <class Action>
    auto without_fork(Action&& action) {
        const std::lock_guard lock{mutex_};
        return std::forward<Action>(action)();
    }

  private:
    ForkList();

    std::mutex mutex_;  // guards what follows, and every link; held over a fork(), so that the child's list is whole
    ForkListed* first_ = nullptr;
};

/// Gives up its share of a device in a child, from make_fork_guarded() on.
// NOLINTNEXTLINE(cppcoreguidelines-virtual-class-destructor)
class ForkGuarded : public ForkListed {
  protected:
    /// In the child, which has this one thread: give up what is the parent's. What other threads of the parent were
    /// doing to the object when it was copied is left half done: take no lock.
    virtual void give_up_to_parent() noexcept = 0;

  private:
    void after_fork_in_child() noexcept final { give_up_to_parent(); }
};

/// A mutex that is free in a child, with what it guards whole: fork() waits until nobody holds it. While it is held,
/// nobody joins or leaves the list, and no other of its kind is taken.
class ForkMutex final : public ForkListed {
  public:
    ForkMutex() noexcept { ForkList::the().join(*this); }
    ~ForkMutex() override { ForkList::the().leave(*this); }

    void lock() { mutex_.lock(); }
    void unlock() noexcept { mutex_.unlock(); }

  private:
    void before_fork() noexcept override { mutex_.lock(); }
    void after_fork_in_parent() noexcept override { mutex_.unlock(); }
    void after_fork_in_child() noexcept override { mutex_.unlock(); }

    std::mutex mutex_;
};

/// Makes a T, a ForkGuarded that is listed while it is whole: from the end of its constructor until it has been closed,
/// which comes before its destructor.
template <class T, class... Arguments>
std::shared_ptr<T> make_fork_guarded(Arguments&&... arguments) {
    const auto end = [](T* one) noexcept {
        one->close();
        ForkList::the().leave(*one);
        delete one;
    };
    std::shared_ptr<T> one{new T(std::forward<Arguments>(arguments)...), end};
    ForkList::the().join(*one);
    return one;
}

}  // namespace uiovfio::detail
