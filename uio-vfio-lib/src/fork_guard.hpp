// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// What a fork() must not do: make two owners of a device out of one.
///
/// A child inherits the parent's objects and open files. If it used them, or merely ended and destroyed them, it would
/// stop the device under its parent's feet; and files that it holds open keep the device from being closed when the
/// parent closes it. Memory for DMA and mapped BARs it does not get at all (MADV_DONTFORK). So each object that has a
/// share in a device gives it up in the child, before fork() returns there. The parent pays nothing for it.

namespace uiovfio::detail {

// gcc wants the destructor virtual; nobody deletes through this class, so it is protected all the same.
// NOLINTNEXTLINE(cppcoreguidelines-virtual-class-destructor)
class ForkGuarded {
  public:
    ForkGuarded(const ForkGuarded&) = delete;
    ForkGuarded& operator=(const ForkGuarded&) = delete;

  protected:
    ForkGuarded();
    virtual ~ForkGuarded();

    /// In the child, which has this one thread: give up what is the parent's. What other threads of the parent were
    /// doing to the object when it was copied is left half done: take no lock.
    virtual void give_up_to_parent() noexcept = 0;

  private:
    friend class ForkGuard;
    ForkGuarded* previous_ = nullptr;
    ForkGuarded* next_ = nullptr;
};

}  // namespace uiovfio::detail
